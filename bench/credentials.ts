import { loginHeader } from "../src/calls/credentials.ts";
import type { Header } from "./drivers/driver.ts";
import { owner } from "./sessions-in-redis.ts";

/** What the callers of a contender show with each call, asked for once. */
export type Credentials = (port: number) => Promise<readonly Header[]>;

/** Of the user in `bench/users`, who owns the sessions. */
const password = "bench";

/** A login session that all callers share, as those behind one client do. */
export const loginSession: Credentials = async (port) => {
  const response = await fetch(`http://127.0.0.1:${port}/rest/com/vmware/cis/session`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${owner}:${password}`).toString("base64")}` },
  });
  if (!response.ok) throw new Error(`logging in is answered with ${response.status}`);
  const { value } = (await response.json()) as { readonly value: string };
  return [[loginHeader, value]];
};
