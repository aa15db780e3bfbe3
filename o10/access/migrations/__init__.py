"""How did the tables of people and keys come to be?"""
