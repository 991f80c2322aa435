import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { ServiceManager } from "../config/service-manager.ts";

/** Notifies the service manager of the states of the program. Failures are reported once and do no other harm. */
export interface Notifier {
  ready(): Promise<void>;
  /** Before and after a reload, which lasts until the step has ended. */
  reload(step: () => Promise<void>): Promise<void>;
  /** @param withinMs how long the stop may take, however short the manager's own timeout is */
  stopping(withinMs: number): Promise<void>;
}

/** How long a notification may take; a busy manager answers later than usual. */
const timeoutMs = 5000;

const run = promisify(execFile);

/**
 * Node.js has no datagram sockets of the family AF_UNIX, so `systemd-notify` sends: it is wherever systemd is, and finds
 * the socket, an abstract one too, in the environment that it inherits.
 *
 * @param manager undefined: nothing is sent
 * @param warn takes a line for the operator
 */
export function openNotifier(manager: ServiceManager | undefined, warn: (line: string) => void): Notifier {
  if (manager === undefined) return { async ready() {}, reload: (step) => step(), async stopping() {} };
  let hasFailed = false;
  const send = async (...states: readonly string[]) => {
    try {
      await run("systemd-notify", states, { timeout: timeoutMs });
    } catch (error) {
      if (!hasFailed) warn(explain(error));
      hasFailed = true;
    }
  };
  let watchdog: NodeJS.Timeout | undefined;
  return {
    async ready() {
      await send("READY=1");
      if (manager.watchdogMs === undefined) return;
      // Twice as often as the manager demands, as its manual advises.
      watchdog ??= setInterval(() => void send("WATCHDOG=1"), manager.watchdogMs / 2).unref();
    },
    async reload(step) {
      await send("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
      await step().finally(() => send("READY=1"));
    },
    async stopping(withinMs) {
      clearInterval(watchdog);
      await send("STOPPING=1", `EXTEND_TIMEOUT_USEC=${Math.ceil(withinMs * 1000)}`);
    },
  };
}

function explain(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  const reason = code === "ENOENT" ? "the program systemd-notify is not installed" : "systemd-notify failed";
  return `the service manager can't be notified: ${reason}`;
}
