import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useState } from "react";
import { SessionService } from "../../../gen/cis/v1/session_pb.ts";
import { LibraryService } from "../../../gen/content/v1/library_pb.ts";
import { AdminService } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { isPassing } from "../shell/passing.ts";
import { onSignedOut, transport } from "../shell/transport.ts";

/** Who looks at the console. */
export type Identity =
  | { readonly status: "unknown" }
  | { readonly status: "signed out" }
  | { readonly status: "signed in"; readonly user: string; readonly isAdmin: boolean };

interface IdentityContextValue {
  readonly identity: Identity;
  /** Opens a login session with credentials. @param authorization value of the `Authorization` header */
  signIn(authorization: string): Promise<void>;
  signOut(): Promise<void>;
}

const IdentityContext = createContext<IdentityContextValue | undefined>(undefined);

export function useIdentity(): IdentityContextValue {
  const value = useContext(IdentityContext);
  if (value === undefined) throw new Error("there is no IdentityProvider");
  return value;
}

/** Finds out who the caller is, and keeps the login session, an HttpOnly cookie that no script can read. */
export function IdentityProvider({ children }: { readonly children: ReactNode }) {
  const [identity, setIdentity] = useState<Identity>({ status: "unknown" });
  const queries = useQueryClient();

  const identify = useCallback(async () => {
    setIdentity(await findIdentity());
  }, []);

  useEffect(() => {
    void identify();
  }, [identify]);

  useEffect(
    () =>
      onSignedOut(() => {
        setIdentity((before) => (before.status === "signed in" ? { status: "signed out" } : before));
      }),
    [],
  );

  const signIn = async (authorization: string) => {
    await openLogin(authorization);
    queries.clear();
    await identify();
  };

  const signOut = async () => {
    await fetch(loginPath, { method: "DELETE" });
    queries.clear();
    setIdentity({ status: "signed out" });
  };

  return <IdentityContext value={{ identity, signIn, signOut }}>{children}</IdentityContext>;
}

/** The 2014 path, whose cookie counts for every path of the service. */
const loginPath = "/com/vmware/cis/session";

/** Why the service has refused the credentials, in a sentence. */
export class SignInError extends Error {}

async function openLogin(authorization?: string): Promise<void> {
  const response = await fetch(loginPath, {
    method: "POST",
    headers: {
      accept: "application/json",
      "x-requested-with": "XMLHttpRequest",
      ...(authorization !== undefined && { authorization }),
    },
  });
  if (response.ok) return;
  const body = await response.json().catch(() => undefined);
  const [message] = body?.value?.messages ?? [];
  throw new SignInError(message?.default_message ?? `The service answers with status ${response.status}.`);
}

/** Repeats until the service answers. */
async function findIdentity(): Promise<Identity> {
  for (let attempts = 0; ; attempts++) {
    try {
      return await readIdentity();
    } catch (error) {
      if (!isPassing(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(5_000, 250 * 2 ** attempts)));
    }
  }
}

async function readIdentity(): Promise<Identity> {
  let user = await readUser();
  if (user === undefined) {
    // A certificate, or nobody has to log in: either opens a login session without a question.
    if (!(await mayCall())) return { status: "signed out" };
    await openLogin();
    user = (await readUser()) ?? "";
  }
  return { status: "signed in", user, isAdmin: await isOperator() };
}

async function readUser(): Promise<string | undefined> {
  const answer = await unlessRefused(() => createClient(SessionService, transport).get({}));
  return answer?.info?.user;
}

async function mayCall(): Promise<boolean> {
  return (await unlessRefused(() => createClient(LibraryService, transport).list({}))) !== undefined;
}

async function isOperator(): Promise<boolean> {
  return (await unlessRefused(() => createClient(AdminService, transport).getSettings({}))) !== undefined;
}

/** A proxy may keep the administration from browsers, which is then unimplemented. */
const refusals: readonly Code[] = [Code.Unauthenticated, Code.PermissionDenied, Code.Unimplemented];

/** The answer; undefined when the caller has no right to it. */
async function unlessRefused<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    const { code } = ConnectError.from(error);
    if (refusals.includes(code)) return undefined;
    throw error;
  }
}
