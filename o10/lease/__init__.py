"""How is money spent out of a lent slice? Shared by decision plane and router client."""
