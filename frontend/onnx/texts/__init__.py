"""Texts, which a model is rid of when it is read: each is a number, or a row of bytes.

What a model names by a list of its own, such as the label of a class, is the number of a text in
that list. What comes from outside, or is written anew, is a row of ``width`` bytes in one more
dimension: UTF-8, with zeros after the text's end.
"""
