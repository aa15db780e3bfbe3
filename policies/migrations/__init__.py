"""How did the tables of spend control come to be?"""
