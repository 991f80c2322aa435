import { expect, test } from "vitest";
import {
  formatRoles,
  isAdmin,
  mayReadStorage,
  noRoles,
  parseRoles,
  type Roles,
  roles,
  rolesFrom,
} from "../../src/domain/roles.ts";

test("names that are no roles are ignored", () => {
  expect(rolesFrom(["user", "storage", "Admin", "", 7, null, ["admin"]])).toEqual(new Set(["storage"]));
  expect(rolesFrom(["user"])).toBe(noRoles);
});

test("roles are one text, in one order, and back", () => {
  for (const [held, text] of [
    [noRoles, ""],
    [rolesFrom(["admin"]), "admin"],
    [rolesFrom(["storage"]), "storage"],
    [rolesFrom(["storage", "admin"]), "admin,storage"],
  ] as const) {
    expect(formatRoles(held)).toBe(text);
    expect(parseRoles(text)).toBe(held);
  }
  expect(formatRoles(rolesFrom(roles))).toBe(roles.join(","));
});

test.each([
  ["storage,admin", ["admin", "storage"]],
  ["storage,auditor", ["storage"]],
  [",storage", ["storage"]],
  [" storage", []],
])("the text %j has the roles %j", (text, names) => {
  expect(parseRoles(text)).toBe(rolesFrom(names));
});

test.each<[Roles, boolean, boolean]>([
  [noRoles, false, false],
  [rolesFrom(["storage"]), false, true],
  [rolesFrom(["admin"]), true, true],
  [rolesFrom(["admin", "storage"]), true, true],
])("%o is an admin: %j, may read storage: %j", (held, admin, storage) => {
  expect(isAdmin({ roles: held })).toBe(admin);
  expect(mayReadStorage({ roles: held })).toBe(storage);
});
