# pyright: strict, reportUnusedImport=false
from streamweir.events import Delta, Text, Upstream
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.openai_chat import OpenAIChat
OpenAIChat(id='', model='', created=0, include_usage=False)([Delta('unguarded')])
