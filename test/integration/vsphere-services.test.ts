import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DescMethodUnary, JsonObject } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ItemStorageService } from "../../gen/content/library/item/v1/item_storage_pb.ts";
import { UpdateSessionService } from "../../gen/content/library/item/v1/update_session_pb.ts";
import { SubscriptionsService } from "../../gen/content/library/v1/subscriptions_pb.ts";
import { LocalLibraryService } from "../../gen/content/v1/local_library_pb.ts";
import { SecurityPoliciesService } from "../../gen/content/v1/security_policies_pb.ts";
import { SubscribedLibraryService } from "../../gen/content/v1/subscribed_library_pb.ts";
import { TrustedCertificatesService } from "../../gen/content/v1/trusted_certificates_pb.ts";
import { TypeService } from "../../gen/content/v1/type_pb.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { methodClients, tableClients } from "../support/method-clients.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newIssuer, settingsFor } from "../support/tokens.ts";

let app: TestApp;
let directory: TempDir;
/** Callers with the role `storage`, with `admin`, and with none. */
type Who = "keeper" | "admin" | "visitor";
let credentials: Record<Who, { readonly authorization: string }>;
beforeAll(async () => {
  const issuer = await newIssuer();
  directory = await tempDir();
  const tokens = await settingsFor(issuer, directory.path);
  app = await startTestApp({ settings: tokens });
  const bearer = async (...roles: string[]) => ({ authorization: `Bearer ${await issuer.token({ roles })}` });
  credentials = { keeper: await bearer("storage"), admin: await bearer("admin"), visitor: await bearer() };
  const item = join(app.contentRoot, "lib", "a b");
  await mkdir(item);
  await writeFile(join(app.contentRoot, "lib", ".library.json"), '{"id": "l"}');
  await writeFile(join(item, ".item.json"), '{"id": "i"}');
  await writeFile(join(item, "disk #1 \u00e9.vmdk"), "content");
  await writeFile(join(item, "x.mf"), `SHA1(disk #1 \u00e9.vmdk)= ${"a".repeat(40)}\n`);
});
afterAll(async () => {
  await app.stop();
  await directory.remove();
});

const { method: storage } = ItemStorageService;
const { method: local } = LocalLibraryService;
const { method: subscribed } = SubscribedLibraryService;
const { method: subscriptions } = SubscriptionsService;
const { method: updates } = UpdateSessionService;
const { method: types } = TypeService;
const { method: policies } = SecurityPoliciesService;
const { method: certificates } = TrustedCertificatesService;

const version = expect.stringMatching(/^[0-9a-f]{16}$/);
const diskName = "disk #1 \u00e9.vmdk";
/** As of when the service runs. */
const disk = () => ({
  name: diskName,
  size: "7",
  cached: "true",
  version,
  checksum_info: { algorithm: "SHA1", checksum: "a".repeat(40) },
  storage_backing: { type: "OTHER", storage_uri: `file://${app?.contentRoot}` },
  storage_uris: [`file://${app?.contentRoot}/lib/a%20b/disk%20%231%20%C3%A9.vmdk`],
});
const library = expect.objectContaining({
  id: "l",
  name: "lib",
  type: "LOCAL",
  publish_info: { authentication_method: "NONE", published: "false", persist_json_enabled: "false" },
});
const type = (name: string) =>
  expect.objectContaining({ type: name, name: name.toUpperCase(), vendor: "downlease", version: "1" });

/** The caller, the operation, its parameters, and the answer over every protocol. */
const cases = (): [who: Who, method: DescMethodUnary, parameters: JsonObject, answer: unknown][] => [
  ["keeper", storage.list, { library_item_id: "i" }, [disk(), expect.anything()]],
  ["admin", storage.get, { library_item_id: "i", file_name: diskName }, [disk()]],
  ["keeper", storage.get, { library_item_id: "i", file_name: "none" }, "404 downlease.file.not_found"],
  [
    "visitor",
    storage.get,
    { library_item_id: "i", file_name: "none" },
    "403 downlease.storage.location_role",
  ],
  ["visitor", storage.list, { library_item_id: "i" }, "403 downlease.storage.location_role"],
  ["visitor", storage.list, { library_item_id: "none" }, "404 downlease.item.not_found"],
  ["visitor", local.list, {}, ["l"]],
  ["visitor", local.get, { library_id: "l" }, library],
  ["visitor", local.get, { library_id: "lib" }, "404 downlease.library.not_found"],
  ["visitor", subscribed.list, {}, undefined],
  ["visitor", subscribed.get, { library_id: "l" }, "404 downlease.library.not_subscribed"],
  ["visitor", subscriptions.list, { library: "l" }, undefined],
  ["visitor", subscriptions.list, { library: "lib" }, "404 downlease.library.not_found"],
  ["visitor", updates.list, {}, undefined],
  ["visitor", updates.list, { library_item_id: "i" }, undefined],
  ["visitor", updates.list, { library_item_id: "none" }, "404 downlease.item.not_found"],
  ["visitor", updates.get, { update_session_id: "i" }, "404 downlease.update_session.not_found"],
  ["visitor", types.list, {}, [type("iso"), type("ovf")]],
  ["visitor", policies.list, {}, undefined],
  ["visitor", certificates.list, {}, {}],
];

/** These came with `/api`, and have no paths of the older dialects. */
const isNew = ({ parent }: DescMethodUnary) =>
  parent === SecurityPoliciesService || parent === TrustedCertificatesService;

describe.each(Object.entries({ ...methodClients, ...tableClients }))("%s", (name, open) => {
  const hasPath = (method: DescMethodUnary) => !(isNew(method) && /^.?REST/i.test(name));
  const titled = cases().flatMap(([who, method, parameters], index) =>
    hasPath(method)
      ? [[`${method.parent.name} ${method.name} ${JSON.stringify(parameters)} by ${who}`, index] as const]
      : [],
  );
  test.each(titled)("%s", async (_, index) => {
    const [who, method, parameters, answer] = cases()[index]!;
    const result = await open(app.url)(method, parameters, credentials[who]);
    expect(result).toEqual(answer);
  });
});

test("empty results are written as their clients expect", async () => {
  const read = async (path: string) => (await fetch(app.url + path, { headers: credentials.visitor })).text();
  for (const path of [
    "subscribed-library",
    "library/item/update-session",
    "library/subscriptions?library=l",
  ]) {
    expect(await read(`/rest/com/vmware/content/${path}`)).toBe('{"value":[]}');
  }
  const newer = ["subscribed-library", "library/item/update-session", "library/l/subscriptions"];
  for (const path of [...newer, "security-policies"]) expect(await read(`/api/content/${path}`)).toBe("[]");
  expect(await read("/api/content/trusted-certificates")).toBe('{"certificates":[]}');
});
