"""What hypothesis draws for every dialect."""

from hypothesis import strategies as st

from streamweir.events import End

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
ends = st.sampled_from(
    [End("completed", stop_reasons={0: "stop"}), End("truncated", stop_reasons={0: "length"})],
)
