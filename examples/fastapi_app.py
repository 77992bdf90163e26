"""A route of your own that streams a reply: uvicorn examples.fastapi_app:app

The gateway reads its upstream from the environment or from streamweir.toml, as everywhere else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel

from streamweir import AsyncGateway
from streamweir.asgi import EventStreamResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncGateway() as gateway:
        app.state.gateway = gateway
        yield


app = FastAPI(lifespan=lifespan)


class Question(BaseModel):
    text: str
    model: str | None = None


@app.post("/ask")
async def ask(question: Question, face: str = "sse") -> EventStreamResponse:
    # whoever leaves, at whatever moment, closes the upstream; a refusal is an answer with its own status
    stream = app.state.gateway.stream(model=question.model, messages=[{"role": "user", "content": question.text}])
    return EventStreamResponse(stream, face=face)
