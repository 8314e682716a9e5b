"""The response model of an erasure."""

from identity_service.web.schemas import ResponseModel


class ErasureResult(ResponseModel):
    """The erased User ID, and the signed statement of what was erased (JWS, `erasure-receipt+jwt`)."""

    user_id: str
    receipt: str
