"""POST /v1/accounts/verifications: verify up to 1,000 User IDs."""

import orjson
from fastapi import APIRouter, Request, Response

from identity_service.verification import actions, fast_route
from identity_service.verification.schemas import VerificationList, VerificationRequest
from identity_service.web import authentication, dependencies, problems, routing

router = APIRouter(prefix="/v1", route_class=fast_route.FastRoute, tags=["accounts"])


@router.post(
    "/accounts/verifications",
    dependencies=[authentication.requires("accounts:verify")],
    responses=problems.error_responses(*authentication.AUTH_ERRORS),
    response_model=VerificationList,
    openapi_extra={"x-body-limit": routing.BATCH_LIMIT},
)
async def verify_accounts(request: Request, body: VerificationRequest) -> Response:
    """Verify up to 1,000 User IDs: valid, unknown, malformed (with suggestions), moved, closed or erased."""
    results = await actions.verify_user_ids(dependencies.database_of(request), body.user_ids)
    return Response(orjson.dumps({"results": results}), media_type="application/json")
