"""A cell's model as a folder that other programs read without this package.

`adapter` holds it in the form of the `peft` library, `folding` as one network with changed weights,
`program` as a traced program; `loading` writes the code that reads each of them, `card` the page
beside it.
"""
