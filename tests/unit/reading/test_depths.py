"""What is nested too deeply is cut out of a line; a reader that looks at every byte finds the same cuts."""

from hypothesis import example, given
from hypothesis import strategies as st

from vaultwatch.reading.budget import MAX_DEPTH
from vaultwatch.reading.depths import MAX_SKIPPED_DEPTH, is_too_deep, without_depths

Steps = list[tuple[int, tuple[bytes, bytes], bytes]]
CUT = b'"[left out: nested too deeply]"'
FILLINGS = (
    b"",
    b"0,",
    b'"",',
    b'"]",',
    b'"[{",',
    b'"\\"[",',
    b'"\\\\",',
    b'"' + b"x" * 600 + b'",',
    b'"' + b"[" * 1500 + b'",',
)


def cut_slowly(text: bytes) -> tuple[bytearray, int]:
    """Return JSON without the values that are too deep, and the depth at its end."""
    kept, start, deepest, depth = bytearray(text), 0, 0, 0
    in_text = escaped = False
    for position, byte in enumerate(text):
        if escaped or (in_text and byte not in b'"\\'):
            escaped = False
        elif byte in b'"\\':
            in_text ^= byte == ord('"')
            escaped = byte == ord("\\")
        elif byte in b"[{":
            depth += 1
            start = position if depth == MAX_DEPTH else start
            deepest = depth if depth == MAX_DEPTH else max(depth, deepest)
        elif byte in b"]}":
            depth -= 1
            if depth == MAX_DEPTH - 1 and deepest >= MAX_SKIPPED_DEPTH:
                kept[start : position + 1] = CUT.ljust(position + 1 - start)
    return kept, depth


LEVELS = st.sampled_from(
    [0, 1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, MAX_SKIPPED_DEPTH - 1, MAX_SKIPPED_DEPTH, 1_200]
)
STEPS = st.lists(
    st.tuples(LEVELS, st.sampled_from([(b"[", b"]"), (b"{", b"}")]), st.sampled_from(FILLINGS)), max_size=12
)


def written(steps: Steps, *, closed: bool) -> bytes:
    """Return text that goes from level to level, with some filling at each."""
    text, depth = b"", 0
    for level, (opening, closing), filling in steps + [(0, (b"[", b"]"), b"")] * closed:
        bracket = opening if level > depth else closing
        text += bracket * abs(level - depth) + filling
        depth = level
    return text


@given(STEPS)
def test_the_values_that_are_too_deep_are_cut_and_nothing_else(steps: Steps) -> None:
    text = written(steps, closed=True)
    assert without_depths(text) == cut_slowly(text)[0]


@given(STEPS)
def test_text_whose_brackets_are_not_balanced_is_recognised(steps: Steps) -> None:
    text = written(steps, closed=False)
    kept, depth = cut_slowly(text)
    assert without_depths(text) == (kept if depth == 0 else None)


@given(STEPS)
@example([(MAX_DEPTH, (b"[", b"]"), b'"]",')])
@example([(MAX_DEPTH + 1, (b"{", b"}"), b'"\\"}",')])
def test_the_depth_is_known_without_decoding(steps: Steps) -> None:
    deepest = max((level for level, _, _ in steps), default=0)
    assert is_too_deep(written(steps, closed=True)) == (deepest > MAX_DEPTH)


def test_values_beside_one_that_is_too_deep_are_kept() -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    kept = without_depths(b'{"a":%s,"b":["]"],"c":%s,"d":1}' % (deep, deep))
    shallow = MAX_DEPTH - 2
    cut = b"[" * shallow + CUT.ljust(len(deep) - 2 * shallow) + b"]" * shallow
    assert kept == bytearray(b'{"a":%s,"b":["]"],"c":%s,"d":1}' % (cut, cut))
