import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSignedBy, type Link, linkRoot, parseLink, signedPath } from "../../src/downloads/links.ts";

const key = { id: "k1", secret: randomBytes(32) };
const link: Link = { sessionId: "5e55", fileName: "disk.vmdk", contentVersion: "v1" };
const target = (path: string) => path.slice(linkRoot.length);
const isGood = (path: string) => {
  const parsed = parseLink(target(path));
  return parsed !== undefined && isSignedBy(parsed, key);
};

test("a link is parsed as it was signed, for any parts", () => {
  const part = fc.string({ unit: "binary", minLength: 1 });
  fc.assert(
    fc.property(part, part, part, (sessionId, fileName, contentVersion) => {
      const signed = signedPath({ sessionId, fileName, contentVersion }, key);
      expect(signed).toMatch(/^\/download\/[!-~]+$/);
      expect(URL.parse(`http://host${signed}`)?.search.slice(1)).toBe(signed.split("?")[1]);
      const parsed = parseLink(target(signed));
      expect(parsed).toMatchObject({ sessionId, fileName, contentVersion, keyId: "k1" });
      expect(isSignedBy(parsed!, key)).toBe(true);
    }),
  );
});

test("no two links have the same signature, however their parts are cut", () => {
  const texts = ["a", "ab", "b", "a:b", "1:a", "1:a,1:b", "a,", ","];
  const signatures = texts.flatMap((sessionId) =>
    texts.flatMap((fileName) =>
      texts.map((contentVersion) => signedPath({ sessionId, fileName, contentVersion }, key).split("&s=")[1]),
    ),
  );
  expect(new Set(signatures).size).toBe(texts.length ** 3);
});

test("a link whose path is encoded in another way is the same link", () => {
  expect(isGood(signedPath(link, key).replace("disk", "%64is%6B"))).toBe(true);
});

test("other parameters change nothing", () => {
  expect(isGood(`${signedPath(link, key)}&utm_source=x&v2=1`)).toBe(true);
  expect(isGood(signedPath(link, key).replace("?", "?trace=1&"))).toBe(true);
});

const good = signedPath(link, key);
const [path = "", query = ""] = good.split("?");
const other = signedPath({ ...link, sessionId: "other" }, key);

describe.each([
  ["the session of another link", good.replace("5e55", "other")],
  ["the file of another link", good.replace("disk.vmdk", "disk.ovf")],
  ["another content version", good.replace("v=v1", "v=v2")],
  ["another key id", good.replace("k=k1", "k=k2")],
  ["the signature of another link", `${good.split("&s=")[0]}&s=${other.split("&s=")[1]}`],
  ["the first half of the signature", good.slice(0, -20)],
  ["more behind the signature", `${good}A`],
  ["padding behind the signature", `${good}=`],
  ["an empty signature", good.replace(/&s=.*/, "&s=")],
  ["a signature that is not ASCII", good.replace(/&s=.*/, `&s=${encodeURIComponent("é".repeat(43))}`)],
  ["no query", path],
  ["an empty query", `${path}?`],
  ["no signature", good.replace(/&s=.*/, "")],
  ["no key id", good.replace("k=k1&", "")],
  ["no content version", good.replace("v=v1&", "")],
  ["a parameter twice", `${good}&v=v1`],
  ["an encoded slash", good.replace("5e55/disk", "5e55%2fdisk")],
  ["a way up", good.replace("disk.vmdk", "x/../disk.vmdk")],
  ["an encoded way up", good.replace("disk.vmdk", "..%2fdisk.vmdk")],
  ["a NUL", good.replace("disk", "disk%00")],
  ["bad percent-encoding", good.replace("disk", "%zz")],
  ["half a character", good.replace("disk", "%ff")],
  ["no file", `${linkRoot}5e55?${query}`],
  ["an empty file", `${linkRoot}5e55/?${query}`],
  ["an empty session", `${linkRoot}/disk.vmdk?${query}`],
  ["another segment", `${path}/?${query}`],
  ["a query of 10,000 characters", `${path}?${"v=1&".repeat(2_500)}`],
  ["nothing", linkRoot],
])("a link with %s", (_, bad) => {
  test("is refused", () => {
    expect(bad).not.toBe(good);
    expect(isGood(bad)).toBe(false);
  });
});

test("a link is not that of another key with the same id", () => {
  const parsed = parseLink(target(good))!;
  expect(isSignedBy(parsed, { id: "k1", secret: randomBytes(32) })).toBe(false);
});
