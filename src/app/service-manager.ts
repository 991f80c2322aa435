import { spawn } from "node:child_process";
import type { ServiceManager } from "../config/service-manager.ts";

/** Notifies the service manager of the states of the program. */
export interface Notifier {
  ready(): void;
  /** Before and after a reload, which lasts until the step has ended. */
  reload(step: () => Promise<void>): Promise<void>;
  /** @param withinMs how long the stop may take, however short the manager's own timeout is */
  stopping(withinMs: number): void;
}

/** Sends a notification for each line, and ends with the code of the first one that fails. */
const notifyLoop = "while read -r states; do systemd-notify $states || exit $?; done";
const notFound = 127;

/**
 * Node.js has no datagram sockets of the family AF_UNIX, so `systemd-notify` sends: it is wherever systemd is, and finds
 * the socket, an abstract one too, in the environment that it inherits. A shell starts it, because each process that this
 * one starts stops the event loop for tens of milliseconds once its memory has grown.
 *
 * @param manager undefined: nothing is sent
 * @param warn takes the line that says that nothing can be sent
 */
export function openNotifier(manager: ServiceManager | undefined, warn: (line: string) => void): Notifier {
  if (manager === undefined) return { ready() {}, reload: (step) => step(), stopping() {} };
  const shell = spawn("sh", ["-c", notifyLoop], { stdio: ["pipe", "ignore", "ignore"] });
  const fail = (reason: string) => warn(`the service manager can't be notified: ${reason}`);
  shell.once("error", () => fail("there is no shell"));
  shell.once("exit", (code) => {
    if (code !== 0) fail(code === notFound ? "systemd-notify is not installed" : "systemd-notify failed");
  });
  // Whatever is written when the shell has ended, which has been reported then.
  shell.stdin.on("error", () => {});
  shell.unref();
  const send = (...states: readonly string[]) => void shell.stdin.write(`${states.join(" ")}\n`);
  let watchdog: NodeJS.Timeout | undefined;
  return {
    ready() {
      send("READY=1");
      if (manager.watchdogMs === undefined) return;
      // Twice as often as the manager demands, as its manual advises.
      watchdog ??= setInterval(() => send("WATCHDOG=1"), manager.watchdogMs / 2).unref();
    },
    async reload(step) {
      send("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
      await step().finally(() => send("READY=1"));
    },
    stopping(withinMs) {
      clearInterval(watchdog);
      send("STOPPING=1", `EXTEND_TIMEOUT_USEC=${Math.ceil(withinMs * 1000)}`);
    },
  };
}
