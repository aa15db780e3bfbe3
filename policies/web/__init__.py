"""Where do spend control and HTTP meet, beside the spend verbs?"""
