"""A faster route class without FastAPI's dependency injection, only for verifications (decision 14)."""

from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends as DependsParameter
from fastapi.params import Security as SecurityParameter
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from identity_service.web import authentication, routing
from identity_service.web.routing import StrictRoute


class FastRoute(StrictRoute):
    """Fast path for `POST /v1/accounts/verifications`: declared like any other route, with the same answers.

    The declaration keeps it in OpenAPI. The handler authenticates the caller, validates the body with the declared
    model and calls the endpoint, without FastAPI's dependency injection (1.3 to 1.5 times faster, measured).
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Return a handler that authenticates, reads the body and calls the declared endpoint."""
        limit = (self.openapi_extra or {}).get("x-body-limit", routing.BODY_LIMIT)
        scopes = [scope for wanted in self.dependencies for scope in _scopes(wanted)]
        endpoint: Callable[[Request, BaseModel], Awaitable[Response]] = self.endpoint
        assert self.body_field is not None  # noqa: S101
        model: type[BaseModel] = self.body_field.field_info.annotation  # type: ignore[assignment]

        async def handle(request: Request) -> Response:
            caller = authentication.authenticate(request, scopes)
            request.state.caller = caller
            routing.check_query(request, frozenset())
            value = routing.read_json(request, await routing.read_body(request, limit))
            try:
                body = model.model_validate(value)
            except ValidationError as wrong:
                errors = wrong.errors(include_url=False, include_input=False)
                located = [{**error, "loc": ("body", *error["loc"])} for error in errors]
                raise RequestValidationError(located, body=value) from wrong
            return await endpoint(request, body)

        return handle


def _scopes(wanted: DependsParameter) -> list[str]:
    return list(wanted.scopes or []) if isinstance(wanted, SecurityParameter) else []
