import { expect, test } from "vitest";
import { serviceManagerOf } from "../../src/config/service-manager.ts";

test.each([
  ["nothing waits", {}, undefined],
  ["no watchdog", { NOTIFY_SOCKET: "/run/x" }, { watchdogMs: undefined }],
  ["a watchdog", { NOTIFY_SOCKET: "@x", WATCHDOG_USEC: "3000000", WATCHDOG_PID: "7" }, { watchdogMs: 3000 }],
  [
    "a watchdog of another process",
    { NOTIFY_SOCKET: "@x", WATCHDOG_USEC: "3000000", WATCHDOG_PID: "8" },
    { watchdogMs: undefined },
  ],
  ["no number", { NOTIFY_SOCKET: "@x", WATCHDOG_USEC: "x" }, { watchdogMs: undefined }],
])("a service manager: %s", (_, environment, expected) => {
  expect(serviceManagerOf(environment, 7)).toEqual(expected);
});
