# pyright: strict, reportUnusedImport=false
from streamweir.events import Delta, Text, Upstream
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.openai_chat import OpenAIChat
def leak(events: list[Upstream]) -> bytes:
    return BrowserSse()(events)
