"""What may be read about policies, envelopes and decisions?"""
