import { expect, test } from "vitest";
import { loginsDirectory, serverListPath } from "../../src/config/user-directories.ts";

test.each([
  [{ HOME: "/home/a" }, "/home/a/.config/downlease/servers.json", "/home/a/.local/state/downlease/logins"],
  [
    { HOME: "/home/a", XDG_CONFIG_HOME: "/c", XDG_STATE_HOME: "/s" },
    "/c/downlease/servers.json",
    "/s/downlease/logins",
  ],
  // A relative path is not valid (XDG Base Directory Specification).
  [
    { HOME: "/home/a", XDG_CONFIG_HOME: "c", XDG_STATE_HOME: "" },
    "/home/a/.config/downlease/servers.json",
    "/home/a/.local/state/downlease/logins",
  ],
  [{}, undefined, undefined],
  [{ HOME: "" }, undefined, undefined],
])("%j", (environment, list, logins) => {
  expect(serverListPath(environment, "linux")).toBe(list);
  expect(loginsDirectory(environment, "darwin")).toBe(logins);
});

test("on Windows its own variables are used, after those of XDG", () => {
  // Paths of this system, because the rules of paths are those of the system.
  const environment = { APPDATA: "/roaming", LOCALAPPDATA: "/local", HOME: "/home/a" };
  expect(serverListPath(environment, "win32")).toBe("/roaming/downlease/servers.json");
  expect(loginsDirectory(environment, "win32")).toBe("/local/downlease/logins");
  expect(loginsDirectory({ ...environment, XDG_STATE_HOME: "/s" }, "win32")).toBe("/s/downlease/logins");
});
