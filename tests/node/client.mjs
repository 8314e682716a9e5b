// A client service of somebody else's making, with oauth4webapi and nothing of ours: {issuer, client_id, secret | key,
// email} comes in on standard input. It finds the endpoints, gets a token, checks it as a resource server would, uses
// it, asks about it and takes it back; what it saw goes out, or the error that the library made of a refusal.
import { readFileSync } from "node:fs";
import * as oauth from "oauth4webapi";

const asked = JSON.parse(readFileSync(0, "utf8"));
const issuer = new URL(asked.issuer);
const client = { client_id: asked.client_id };
const plain = { [oauth.allowInsecureRequests]: true }; // There is no TLS on loopback.

async function authentication() {
  if (asked.secret) return oauth.ClientSecretBasic(asked.secret);
  const kind = asked.key.crv === "Ed25519" ? "Ed25519" : { name: "ECDSA", namedCurve: asked.key.crv };
  const key = await crypto.subtle.importKey("jwk", asked.key, kind, false, ["sign"]);
  return oauth.PrivateKeyJwt({ key, kid: asked.key.kid });
}

async function call(token, method, path, body) {
  const headers = new Headers({ "content-type": "application/json" });
  const url = new URL(path, issuer);
  return oauth.protectedResourceRequest(token, method, url, headers, body && JSON.stringify(body), plain);
}

async function walk() {
  const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...plain });
  const server = await oauth.processDiscoveryResponse(issuer, found);
  const auth = await authentication();
  const granted = await oauth.clientCredentialsGrantRequest(server, client, auth, { scope: asked.scope }, plain);
  const { access_token: token, ...grant } = await oauth.processClientCredentialsResponse(server, client, granted);

  const request = new Request(new URL("/v1/accounts", issuer), { headers: { authorization: `Bearer ${token}` } });
  const claims = await oauth.validateJwtAccessToken(server, request, `${asked.issuer}/v1`, plain);

  const made = await (await call(token, "POST", "/v1/accounts", { email: asked.email })).json();
  const ids = { user_ids: [made.user_id] };
  const verified = await (await call(token, "POST", "/v1/accounts/verifications", ids)).json();

  const introspect = async () => {
    const answer = await oauth.introspectionRequest(server, client, auth, token, plain);
    return oauth.processIntrospectionResponse(server, client, answer);
  };
  const before = await introspect();
  await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, token, plain));
  const after = await introspect();
  return { grant, claims, user_id: made.user_id, verified: verified.results, before, after };
}

try {
  console.log(JSON.stringify(await walk()));
} catch (refused) {
  const { name, code, error, status } = refused;
  console.log(JSON.stringify({ refused: { name, code, error, status } }));
}
