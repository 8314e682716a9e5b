// better-auth as its documentation sets it up, in one process: node:http, its own pool on PostgreSQL (PGHOST, PGUSER and
// PGDATABASE), its tables by its own migration. It prints a line when it listens.
//
// Not stock are these: passwords are hashed by @node-rs/argon2 with our parameters (PEER_HASH) instead of scrypt, so that the
// servers are compared and not the hashes. The limits are off: all the load comes from one address, and they count by it.
// Where PEER_JOINS is true, what it reads of two tables is one joined statement, an option. The letter with the link goes
// nowhere, and nothing is told to its makers.
import { createServer } from "node:http";
import { hash, verify } from "@node-rs/argon2";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import pg from "pg";

const port = Number(process.env.PEER_PORT);
const parameters = JSON.parse(process.env.PEER_HASH);

const options = {
  baseURL: `http://127.0.0.1:${port}`,
  secret: process.env.PEER_SECRET,
  database: new pg.Pool(),
  emailAndPassword: {
    enabled: true,
    password: {
      hash: (password) => hash(password, parameters),
      verify: ({ hash: kept, password }) => verify(kept, password),
    },
    sendResetPassword: async () => {},
  },
  rateLimit: { enabled: false },
  advanced: { database: { joins: process.env.PEER_JOINS === "true" } },
  telemetry: { enabled: false },
  logger: { level: "error" },
};

const { runMigrations } = await getMigrations(options);
await runMigrations();
createServer(toNodeHandler(betterAuth(options))).listen(port, "127.0.0.1", () => console.log("listening"));
