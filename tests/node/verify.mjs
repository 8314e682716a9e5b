// Checks a JWS against a published key set with nothing of ours: {token, jwks, typ, issuer?, audience?, now} comes in on
// standard input; the header and the claims go out, or the name of what does not hold.
import { readFileSync } from "node:fs";
import { createLocalJWKSet, jwtVerify } from "jose";

const asked = JSON.parse(readFileSync(0, "utf8"));
const options = {
  typ: asked.typ,
  issuer: asked.issuer ?? undefined,
  audience: asked.audience ?? undefined,
  currentDate: new Date(asked.now),
};
try {
  const { payload, protectedHeader } = await jwtVerify(asked.token, createLocalJWKSet(asked.jwks), options);
  console.log(JSON.stringify({ header: protectedHeader, claims: payload }));
} catch (refused) {
  console.log(JSON.stringify({ refused: refused.code ?? refused.name }));
}
