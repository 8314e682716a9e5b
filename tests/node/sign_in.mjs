// A shop of somebody else's making signs a customer in, with openid-client or oauth4webapi and nothing of ours. The
// first line of standard input says who it is; it answers with the address that the customer's browser opens. The
// second line brings where the browser came back to ({url, form?}); it answers with what the library checked and got.
import { createInterface } from "node:readline";
import * as oauth from "oauth4webapi";
import * as oidc from "openid-client";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const write = (told) => console.log(JSON.stringify(told));
const posted = (came) => new Request(came.url, { method: "POST", body: new URLSearchParams(came.form) });
const back = (came) => (came.form ? posted(came) : new URL(came.url));

async function withOpenidClient(asked) {
  const ways = {
    client_secret_basic: () => oidc.ClientSecretBasic(asked.secret),
    client_secret_post: () => oidc.ClientSecretPost(asked.secret),
    none: () => oidc.None(),
  };
  const told = asked.algorithm ? { id_token_signed_response_alg: asked.algorithm } : {};
  const plain = { execute: [oidc.allowInsecureRequests] }; // There is no TLS on loopback.
  const config = await oidc.discovery(new URL(asked.issuer), asked.client_id, told, ways[asked.method](), plain);
  oidc.enableNonRepudiationChecks(config); // Checks signatures of ID tokens, too.
  const [verifier, nonce, state] = [oidc.randomPKCECodeVerifier(), oidc.randomNonce(), oidc.randomState()];
  const parameters = {
    redirect_uri: asked.redirect_uri, scope: asked.scope, nonce, state, max_age: "3600",
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256", ...asked.more,
  };
  const build = asked.par ? oidc.buildAuthorizationUrlWithPAR : oidc.buildAuthorizationUrl;
  write({ url: (await build(config, parameters)).href });

  const checks = {
    pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true, maxAge: 3600,
  };
  const tokens = await oidc.authorizationCodeGrant(config, back(await read()), checks);
  const claims = tokens.claims();
  const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
  const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token);
  const logout = oidc.buildEndSessionUrl(config, {
    id_token_hint: renewed.id_token, post_logout_redirect_uri: asked.logout_uri, state,
  });
  await oidc.tokenRevocation(config, renewed.refresh_token);
  const after = await oidc.refreshTokenGrant(config, renewed.refresh_token).catch((refused) => refused.error);
  return { claims, userinfo, renewed: renewed.claims(), after, logout: logout.href, state };
}

async function withOauth4webapi(asked) {
  const plain = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(asked.issuer), client = { client_id: asked.client_id };
  const auth = asked.secret ? oauth.ClientSecretBasic(asked.secret) : oauth.None();
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, plain));
  const [verifier, nonce, state] = [1, 2, 3].map(oauth.generateRandomState);
  const url = new URL(server.authorization_endpoint);
  const parameters = {
    client_id: asked.client_id, redirect_uri: asked.redirect_uri, response_type: "code", scope: asked.scope, nonce, state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  write({ url: url.href });

  const callback = oauth.validateAuthResponse(server, client, back(await read()), state);
  const answer = await oauth.authorizationCodeGrantRequest(
    server, client, auth, callback, asked.redirect_uri, verifier, plain,
  );
  const checks = { expectedNonce: nonce, requireIdToken: true };
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, checks);
  await oauth.validateApplicationLevelSignature(server, answer, plain);
  const claims = oauth.getValidatedIdTokenClaims(tokens);
  const asking = await oauth.userInfoRequest(server, client, tokens.access_token, plain);
  const userinfo = await oauth.processUserInfoResponse(server, client, claims.sub, asking);
  const refresh = async (token) => {
    const refreshed = await oauth.refreshTokenGrantRequest(server, client, auth, token, plain);
    return oauth.processRefreshTokenResponse(server, client, refreshed);
  };
  const renewed = await refresh(tokens.refresh_token);
  const revoked = await oauth.revocationRequest(server, client, auth, renewed.refresh_token, plain);
  await oauth.processRevocationResponse(revoked);
  const after = await refresh(renewed.refresh_token).catch((refused) => refused.error);
  const logout = new URL(server.end_session_endpoint);
  const hint = { id_token_hint: renewed.id_token, post_logout_redirect_uri: asked.logout_uri, state };
  for (const [name, value] of Object.entries(hint)) logout.searchParams.set(name, value);
  return { claims, userinfo, renewed: oauth.getValidatedIdTokenClaims(renewed), after, logout: logout.href, state };
}

try {
  const asked = await read();
  write(await (asked.library === "openid-client" ? withOpenidClient : withOauth4webapi)(asked));
} catch (refused) {
  const { name, code, error, status, message } = refused;
  write({ refused: { name, code, error, status, message } });
}
process.exit(0);
