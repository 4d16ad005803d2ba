"""The chat: an OpenAI-compatible endpoint, its streamed answers, the conversation, and text made fit for a terminal.

with Client(Endpoint.parse("http://localhost:8000")) as client:
    for delta in client.stream(Conversation().with_user("Hello").messages()):
        ...
"""

from kubectl_modelcar.chat.answer import Answer, Draft
from kubectl_modelcar.chat.client import ChatOptions, Client
from kubectl_modelcar.chat.conversation import Conversation, Message, Turn
from kubectl_modelcar.chat.delta import Delta, Usage
from kubectl_modelcar.chat.endpoint import Endpoint, bearer, trust
from kubectl_modelcar.chat.fault import Untrusted
from kubectl_modelcar.chat.models import Model
from kubectl_modelcar.chat.sanitizer import Sanitizer

__all__ = [
    "Answer",
    "ChatOptions",
    "Client",
    "Conversation",
    "Delta",
    "Draft",
    "Endpoint",
    "Message",
    "Model",
    "Sanitizer",
    "Turn",
    "Untrusted",
    "Usage",
    "bearer",
    "trust",
]
