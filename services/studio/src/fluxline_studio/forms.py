"""Bodies of plain HTML forms."""

from urllib.parse import parse_qsl

from fastapi import Request

from fluxline_studio.gateway import GatewayProblem

MAX_FORM_BYTES = 64 * 1024


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a urlencoded form, the last of each name; raises GatewayProblem 413 or 400."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise GatewayProblem(413, {"title": "The form is too large", "category": "validation"})
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError:
        raise GatewayProblem(400, {"title": "The form cannot be read", "category": "validation"}) from None
