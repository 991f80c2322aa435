import { Code, ConnectError } from "@connectrpc/connect";
import { basicCredentials, headerValue, idHeader } from "../../client/login-session.ts";
import { visible } from "../../client/printable.ts";
import { finalCallTimeoutMs } from "../../client/retry.ts";
import { passwordOf } from "../connection.ts";
import { CliError } from "../failure.ts";
import { ask } from "../hidden-input.ts";
import type { CommonFlags, Task } from "../run.ts";
import { findLogin, removeLogin, saveLogin } from "./saved-logins.ts";

/** Opens a login session and saves it for the commands that follow. */
export async function login(task: Task<CommonFlags>): Promise<void> {
  const { server, flags, call, output, io } = task;
  const hasOther = [flags.token, flags.tokenFile, flags.cert].some((each) => each !== undefined);
  const user = flags.user ?? (hasOther ? undefined : await askUser(task));
  const headers =
    user === undefined
      ? {}
      : { authorization: basicCredentials(user, await passwordOf({ ...flags, user }, io)) };
  const { sessionId } = await server.logins.create({}, { ...call, headers });
  if (!headerValue.test(sessionId)) {
    throw new CliError("failed", "the server opened a login session without a valid id");
  }
  const earlier = await findLogin(server.url, io.environment);
  try {
    await saveLogin({ server: server.url, sessionId, ...(user !== undefined && { user }) }, io.environment);
  } catch (error) {
    await close(task, sessionId);
    throw error;
  }
  if (earlier !== undefined) await close(task, earlier.sessionId);
  if (output.isJson) output.json({ server: server.url, user, logged_in: true });
  else output.lines([`logged in at ${server.url}${user === undefined ? "" : ` as ${visible(user)}`}`]);
}

/** Closes a saved login session and removes it. */
export async function logout(task: Task<CommonFlags>): Promise<void> {
  const { server, output, io } = task;
  const saved = await findLogin(server.url, io.environment);
  if (saved !== undefined) {
    await removeLogin(saved.server, io.environment);
    const failure = await close(task, saved.sessionId);
    if (failure !== undefined) {
      output.note(
        `${server.url} could not close the login session, which expires by itself: ${failure.message}`,
      );
    }
  }
  if (output.isJson) output.json({ server: server.url, logged_in: false });
  else output.lines([`${saved === undefined ? "not logged in" : "logged out"} at ${server.url}`]);
}

/** Returns why the login session may still be open; undefined if it is closed. */
async function close({ server }: Pick<Task, "server">, sessionId: string): Promise<Error | undefined> {
  try {
    await server.logins.delete({}, { headers: { [idHeader]: sessionId }, timeoutMs: finalCallTimeoutMs });
    return undefined;
  } catch (error) {
    const failure = ConnectError.from(error);
    // It has ended already.
    return failure.code === Code.Unauthenticated ? undefined : failure;
  }
}

async function askUser({ server, io }: Task): Promise<string> {
  if (!io.stdin.isTTY) throw new CliError("usage", "who logs in? Pass --user, a token or a certificate.");
  const user = await ask(`User at ${visible(server.url)}: `, io);
  if (!user) throw new CliError("interrupted", "no user was entered");
  return user;
}
