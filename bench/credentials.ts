import { loginHeader } from "../src/calls/credentials.ts";
import type { Header } from "./drivers/driver.ts";
import { owner } from "./sessions-in-redis.ts";

/** Obtains, once, the headers that authenticate the callers of a contender. */
export type ObtainHeaders = (port: number) => Promise<readonly Header[]>;

/** Password of the user in `bench/users`, who owns the sessions. */
const password = "bench";

/** One login session, shared by all callers. */
export const loginSession: ObtainHeaders = async (port) => {
  const response = await fetch(`http://127.0.0.1:${port}/rest/com/vmware/cis/session`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${owner}:${password}`).toString("base64")}` },
  });
  if (!response.ok) throw new Error(`login failed with status ${response.status}`);
  const { value } = (await response.json()) as { readonly value: string };
  return [[loginHeader, value]];
};
