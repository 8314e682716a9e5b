// Judges responses of passkeys with nothing of ours: {origin, rpId, asked: [{kind, challenge, response, publicKey?}]}
// comes in on standard input, a list of true and false goes out. Counters are left out: they refuse nothing here.
import { readFileSync } from "node:fs";
import { verifyAuthenticationResponse, verifyRegistrationResponse } from "@simplewebauthn/server";

const given = JSON.parse(readFileSync(0, "utf8"));
const expected = { expectedOrigin: given.origin, expectedRPID: given.rpId, requireUserVerification: false };
const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64url"));

async function holds({ kind, challenge, response, publicKey }) {
  const asked = { response, expectedChallenge: challenge, ...expected };
  try {
    if (kind === "register") {
      return (await verifyRegistrationResponse({ ...asked, supportedAlgorithmIDs: [-7, -8, -257] })).verified;
    }
    const credential = { id: response.id, publicKey: bytes(publicKey), counter: -1 };
    return (await verifyAuthenticationResponse({ ...asked, credential })).verified;
  } catch {
    return false;
  }
}

const found = [];
for (const one of given.asked) found.push(await holds(one));
console.log(JSON.stringify(found));
