import pytest

from suite.registry.expression import parse


def value(text, **values):
    return parse(text).value(values)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "w.real",
        "[w]",
        "lambda: 1",
        "open('f')",
        "f'{w}'",
        "w / 2",
        "min(w)",
        "1 < w < 3",
        "part in names",
        "w if w > 1 else w.real",
        "w > 1 and open('f')",
    ],
)
def test_a_formula_is_arithmetic_and_nothing_else(text):
    with pytest.raises(ValueError, match="not allowed"):
        parse(text)


def test_a_formula_has_a_value_and_names():
    assert value("2*w*(w//r) + max(r, 4) - 3**2", w=10, r=3) == 60 + 4 - 9
    assert parse("max(w, 4) + r").names == {"w", "r"}
    with pytest.raises(ValueError, match="unknown name 'q'; known: w"):
        value("q + w", w=1)


@pytest.mark.parametrize(("part", "expected"), [("query", 6), ("ff_output", 2), ("key", 0)])
def test_a_condition_chooses_between_formulas(part, expected):
    text = 'w*i if part in ("query", "value") else i if part == "ff_output" else 0'
    assert value(text, part=part, w=3, i=2) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 if k == 9 and depth >= 0 else 2", 2),
        ("1 if k == 9 or depth >= 0 else 2", 1),
        ("1 if k != 9 else 2", 2),
        ("5*(k > 1)", 5),
    ],
)
def test_conditions_are_combined(text, expected):
    assert value(text, k=9, depth=-1) == expected


def test_only_the_chosen_branch_needs_its_names():
    formula = parse("i if k > 1 else size")
    assert formula.value({"k": 1, "size": 7}) == 7
    assert formula.names == {"i", "k", "size"}


def test_line_breaks_are_white_space():
    assert value("w\n  if w > 1\n  else 0", w=3) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9**9**9", "exponent is a whole number"),
        ("w**99999999", "an exponent is at most 8"),
        ("w**-1", "exponent is a whole number"),
        ("((w**8)**8)**8", "a power is not raised again"),
        ("+".join(["1"] * 5000), "9,999 characters, at most 500"),
        ("+".join(["1"] * 240), "more than 50 levels deep"),
        ("(" * 240 + "1" + ")" * 240, "is not a formula: too many nested parentheses"),
        ("-" * 490 + "1", "more than 50 levels deep"),
        ("max(1, " * 60 + "1" + ")" * 60, "more than 50 levels deep"),
        ("[" * 150 + "]" * 150, "is not allowed"),
        ("w +", "is not a formula"),
        ("\0", "is not a formula"),
    ],
)
def test_what_would_not_end_is_refused_at_once(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("w // (w - w)", "zero"),
        ("'a' * 999999999", "'a' is text, not a number"),
        ("part + part", "'query' is text, not a number"),
        ("part", "'query' is text, not a number"),
        ("w if part < 3 else 1", "not supported"),
        ("0.5 + " + "*".join(["w**8"] * 8), "too large"),
    ],
)
def test_what_is_no_number_is_said(text, reason):
    with pytest.raises(ValueError, match=reason):
        value(text, w=10**6, part="query")
