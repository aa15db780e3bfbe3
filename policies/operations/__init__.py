"""How does money get held, spent, given back, and who may change what?"""
