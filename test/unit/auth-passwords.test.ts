import { argon2Sync } from "node:crypto";
import { expect, test } from "vitest";
import { readBasic } from "../../src/auth/basic-credentials.ts";
import { hashPassword, parsePasswordHash, verifyPassword } from "../../src/auth/password-hash.ts";
import { basic } from "../support/auth-calls.ts";

const salt = Buffer.from("0123456789abcdef");
const unpadded = (bytes: Buffer) => bytes.toString("base64").replace(/=+$/, "");

test("a new hash is a PHC string of scrypt with a salt of its own, and verifies its password only", async () => {
  const [one, two] = await Promise.all([hashPassword("pässword"), hashPassword("pässword")]);
  expect(one).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[\w+/]{22}\$[\w+/]{43}$/);
  expect(one).not.toBe(two);
  const hash = parsePasswordHash(one!);
  expect(await verifyPassword(hash, "pässword")).toBe(true);
  for (const wrong of ["", "password", "pässwor", "pässword "]) {
    expect(await verifyPassword(hash, wrong), wrong).toBe(false);
  }
});

test("scrypt as in RFC 7914, section 12", async () => {
  const hash = Buffer.from(
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
    "hex",
  );
  const stored = parsePasswordHash(
    `$scrypt$ln=14,r=8,p=1$${unpadded(Buffer.from("SodiumChloride"))}$${unpadded(hash)}`,
  );
  expect(await verifyPassword(stored, "pleaseletmein")).toBe(true);
  expect(await verifyPassword(stored, "pleaseletmeim")).toBe(false);
});

test("argon2id is verified, too", async () => {
  const hash = argon2Sync("argon2id", {
    message: "password",
    nonce: salt,
    parallelism: 1,
    tagLength: 32,
    memory: 64,
    passes: 2,
  });
  const stored = parsePasswordHash(`$argon2id$v=19$m=64,t=2,p=1$${unpadded(salt)}$${unpadded(hash)}`);
  expect(await verifyPassword(stored, "password")).toBe(true);
  expect(await verifyPassword(stored, "Password")).toBe(false);
});

const good = { salt: unpadded(salt), hash: unpadded(Buffer.alloc(32, 7)) };

test.each([
  ["no PHC string", "secret-text"],
  ["a crypt string", "$2b$10$abcdefghijklmnopqrstuv"],
  ["argon2i", `$argon2i$v=19$m=64,t=2,p=1$${good.salt}$${good.hash}`],
  ["argon2id of another version", `$argon2id$v=16$m=64,t=2,p=1$${good.salt}$${good.hash}`],
  ["argon2id without a version", `$argon2id$m=64,t=2,p=1$${good.salt}$${good.hash}`],
  ["no hash", `$scrypt$ln=15,r=8,p=3$${good.salt}`],
  ["one field too many", `$scrypt$ln=15,r=8,p=3$${good.salt}$${good.hash}$more`],
  ["padded base64", `$scrypt$ln=15,r=8,p=3$${good.salt}==$${good.hash}`],
  ["no base64", `$scrypt$ln=15,r=8,p=3$${good.salt}$secret!text`],
  ["a short salt", `$scrypt$ln=15,r=8,p=3$AAAA$${good.hash}`],
  ["a short hash", `$scrypt$ln=15,r=8,p=3$${good.salt}$AAAA`],
  ["a cost of zero", `$scrypt$ln=0,r=8,p=3$${good.salt}$${good.hash}`],
  ["scrypt that takes a gigabyte", `$scrypt$ln=20,r=8,p=1$${good.salt}$${good.hash}`],
  ["scrypt that takes minutes", `$scrypt$ln=15,r=8,p=99$${good.salt}$${good.hash}`],
  ["argon2id that takes a gigabyte", `$argon2id$v=19$m=1048576,t=1,p=1$${good.salt}$${good.hash}`],
  ["argon2id with less memory than lanes need", `$argon2id$v=19$m=8,t=1,p=2$${good.salt}$${good.hash}`],
])("%s is refused, and not repeated", (_, text) => {
  expect(() => parsePasswordHash(text)).toThrow(/^(?!.*secret).{10,}$/);
});

test.each([
  ["alice", "secret"],
  ["alice", ""],
  ["alice@vsphere.local", "a:b:c"],
  ["VSPHERE.LOCAL\\Administrator", "pa$$ word"],
  ["jürgen", "пароль🎈"],
  ["alice", "x".repeat(1024)],
])("Basic of %j and %j is read", (name, password) => {
  expect(readBasic(basic(name, password))).toEqual({ name, password });
  expect(readBasic(basic(name, password).replace("Basic ", "bAsIc   "))).toEqual({ name, password });
});

test("letters count, not how a keyboard composes them", () => {
  expect(readBasic(basic("ju\u0308rgen", "e\u0301"))).toEqual({ name: "jürgen", password: "é" });
});

test.each([
  "",
  "Basic",
  "Basic ",
  "Basic !!!",
  `Basic ${Buffer.from("alice").toString("base64")}`,
  `Basic ${Buffer.from(":password").toString("base64")}`,
  `Basic ${Buffer.from("alice:pass\0word").toString("base64")}`,
  `Basic ${Buffer.from("ali\nce:password").toString("base64")}`,
  `Basic ${Buffer.from([0x61, 0x3a, 0xff, 0xfe]).toString("base64")}`,
  `Basic ${Buffer.from("alice:secret").toString("base64")} x`,
  basic("alice", "x".repeat(1025)),
  basic("x".repeat(257), "password"),
  "Bearer abc",
])("%j is no Basic that can be read", (authorization) => {
  expect(readBasic(authorization)).toBeUndefined();
});
