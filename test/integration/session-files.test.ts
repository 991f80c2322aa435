import { createHash } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FileService } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { methodClients, tableClients } from "../support/method-clients.ts";
import {
  addItem,
  endSession,
  expiryOf,
  openSession,
  sessionFiles,
  sessions,
  sha256,
  someBytes,
} from "../support/session-files.ts";

const clients = { ...methodClients, ...tableClients };
const disk = someBytes(3_000_000);
const longName = `${"ü".repeat(100)} & <${"x".repeat(40)}>.vmdk`;

describe.each(storeKinds)("%s", (kind: StoreKind) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ store: kind });
  });
  afterAll(() => app.stop());

  const newItem = () => {
    const sha1 = createHash("sha1").update(disk).digest("hex");
    const manifest = `SHA1(disk.vmdk)= ${sha1}\nSHA256(none)= ${"0".repeat(64)}\n`;
    return addItem(app.contentRoot, { "disk.vmdk": disk, "empty.nvram": "", "package.mf": manifest });
  };

  describe.each(Object.keys(clients))("%s", (client) => {
    const open = async (itemId: string) => {
      const id = await openSession(app.url, itemId);
      return { id, ...sessionFiles(clients[client]!(app.url), id) };
    };

    test("lists, prepares and returns the endpoint", async () => {
      const { list, prepare, get } = await open(await newItem());
      const unprepared = { bytes_transferred: "0", status: "UNPREPARED" };
      const others = [
        { name: "empty.nvram", size: "0", ...unprepared },
        { name: "package.mf", size: expect.any(String), ...unprepared },
      ];
      expect(await list()).toEqual([{ name: "disk.vmdk", size: "3000000", ...unprepared }, ...others]);
      expect((await get("disk.vmdk")).status).toBe("UNPREPARED");

      expect(["PREPARE_REQUESTED", "PREPARING", "PREPARED"]).toContain((await prepare("disk.vmdk")).status);
      const ready = await eventually("the disk to be ready", async () => {
        const file = await get("disk.vmdk");
        return file.status === "PREPARED" ? file : undefined;
      });
      const inSha256 = { algorithm: "SHA256", checksum: sha256(disk) };
      const inSha1 = { algorithm: "SHA1", checksum: createHash("sha1").update(disk).digest("hex") };
      expect(ready).toEqual({
        name: "disk.vmdk",
        size: "3000000",
        bytes_transferred: "0",
        status: "PREPARED",
        download_endpoint: { uri: expect.stringMatching(/^http:\/\//) },
        checksum_info: inSha256,
        checksums: [inSha256, inSha1],
      });
      expect(await list()).toEqual([ready, ...others]);
      expect(await prepare("disk.vmdk", { endpoint_type: "HTTPS" })).toEqual(ready);
    });

    test("an empty file is a file", async () => {
      const { prepare, get } = await open(await newItem());
      await prepare("empty.nvram");
      const { checksum_info, size } = await eventually("the file to be ready", async () => {
        const file = await get("empty.nvram");
        return file.status === "PREPARED" ? file : undefined;
      });
      expect([size, checksum_info]).toEqual(["0", { algorithm: "SHA256", checksum: sha256("") }]);
    });

    test("refuses invalid requests", async () => {
      const { id, list, prepare, get } = await open(await newItem());
      const none = "400 downlease.argument.file_name";
      for (const name of ["none", "DISK.vmdk", ".item.json", "../x/disk.vmdk"]) {
        expect((await prepare(name)).status).toBe(none);
        expect((await get(name)).status).toBe(none);
      }
      const tooLong = "400 downlease.argument.identifier";
      expect((await get("x".repeat(257))).status).toBe(tooLong);
      expect((await prepare("x".repeat(10_000))).status).toBe(tooLong);
      expect((await prepare("disk.vmdk", { endpoint_type: "DIRECT" })).status).toBe(
        "403 downlease.storage.role",
      );
      const nobody = sessionFiles(clients[client]!(app.url), "nobody");
      const missing = "404 downlease.session.not_found";
      expect(await nobody.list()).toBe(missing);
      expect((await nobody.prepare("none", { endpoint_type: "DIRECT" })).status).toBe(missing);
      expect((await nobody.get("none")).status).toBe(missing);
      expect(((await list()) as { status: string }[]).map(({ status }) => status)).toEqual([
        "UNPREPARED",
        "UNPREPARED",
        "UNPREPARED",
      ]);
      await endSession(app.url, id, "cancel");
      const inOrder = await prepare("none");
      expect(inOrder.status).toBe("400 downlease.session.not_active");
    });

    test.each(["cancel", "fail"] as const)("%s leaves files without endpoints", async (action) => {
      const { id, list, prepare, get } = await open(await newItem());
      await prepare("disk.vmdk");
      await eventually("an endpoint", async () => (await get("disk.vmdk")).download_endpoint);
      await endSession(app.url, id, action);
      const { download_endpoint, status, checksum_info } = await get("disk.vmdk");
      expect([download_endpoint, status, checksum_info?.checksum]).toEqual([
        undefined,
        "PREPARED",
        sha256(disk),
      ]);
      for (const file of (await list()) as object[]) expect(file).not.toHaveProperty("download_endpoint");
      expect((await prepare("disk.vmdk")).status).toBe("400 downlease.session.not_active");
    });

    test("long names of odd letters are names", async () => {
      const { list, prepare, get } = await open(await addItem(app.contentRoot, { [longName]: "x" }));
      await prepare(longName);
      const ready = await eventually("the file to be ready", async () => {
        const file = await get(longName);
        return file.status === "PREPARED" ? file : undefined;
      });
      expect(ready.checksum_info!.checksum).toBe(sha256("x"));
      expect(await list()).toEqual([ready]);
    });

    test("an item that changes puts its files into error", async () => {
      const itemId = await newItem();
      const { list, prepare, get } = await open(itemId);
      await prepare("disk.vmdk");
      await eventually("an endpoint", async () => (await get("disk.vmdk")).download_endpoint);
      const folder = join(app.contentRoot, "lib", itemId);
      await writeFile(join(folder, "new"), "x");
      await rm(join(folder, "empty.nvram"));
      const changed = { status: "ERROR", error_message: { id: "downlease.file.changed", args: [itemId] } };
      expect(await get("disk.vmdk")).toMatchObject(changed);
      expect(await get("disk.vmdk")).not.toHaveProperty("download_endpoint");
      expect(await prepare("new")).toMatchObject(changed);
      expect(await list()).toMatchObject([
        { name: "disk.vmdk", ...changed },
        { name: "new", ...changed },
        { name: "package.mf", ...changed },
      ]);
      // A new session is about the item as it is now.
      const again = await open(itemId);
      expect(await again.prepare("new")).not.toMatchObject(changed);
      await rm(folder, { recursive: true });
      expect(await list()).toBe("404 downlease.item.not_found");
      expect((await get("disk.vmdk")).status).toBe("404 downlease.item.not_found");
    });
  });

  test.each([
    ['{"file_name":7}', "downlease.argument.type", "file_name"],
    ['{"file_name":["disk.vmdk"]}', "downlease.argument.type", "file_name"],
    ['{"file_name":"\\ud800"}', "downlease.argument.type", "file_name"],
    ['{"file_name":null}', "downlease.argument.missing", "file_name"],
    ["{}", "downlease.argument.missing", "file_name"],
    ['{"file_name":"disk.vmdk","endpoint_type":"https"}', "downlease.argument.type", "endpoint_type"],
    ['{"file_name":"disk.vmdk","endpoint_type":1}', "downlease.argument.type", "endpoint_type"],
    ['{"file_name":"disk.vmdk","endpoint_type":"UNSPECIFIED"}', "downlease.argument.type", "endpoint_type"],
    ['{"file_name":"disk.vmdk","version":"1"}', "downlease.argument.unknown", "version"],
    ['{"file_name":"disk.vmdk","download_session_id":"another"}', "downlease.argument.conflict", "id"],
  ])("a prepare of %s is an invalid argument that is named", async (body, messageId, named) => {
    const id = await openSession(app.url, await newItem());
    for (const path of [
      `/api/content/library/item/download-session/${id}/file?action=prepare`,
      `/rest/com/vmware/content/library/item/downloadsession/file/id:${id}?~action=prepare`,
    ]) {
      const response = await fetch(app.url + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
      expect(response.status).toBe(400);
      const text = await response.text();
      expect(text).toContain(messageId);
      expect(text).toContain(named);
    }
  });

  test("on /api, file_name distinguishes get from list, even when it is empty", async () => {
    const id = await openSession(app.url, await newItem());
    const get = async (query: string) => {
      const path = `/api/content/library/item/download-session/${id}/file`;
      const response = await fetch(app.url + path + query);
      return [response.status, await response.json()] as const;
    };
    expect(await get("")).toEqual([200, expect.any(Array)]);
    expect(await get("?other=1")).toEqual([200, expect.any(Array)]);
    expect(await get("?file_name=disk.vmdk")).toEqual([200, expect.objectContaining({ name: "disk.vmdk" })]);
    expect(await get("?file_name=")).toMatchObject([400, { error_type: "INVALID_ARGUMENT" }]);
    expect(await get("?file_name=a&file_name=b")).toMatchObject([400, { error_type: "INVALID_ARGUMENT" }]);
  });

  test("JSON-RPC sends a file as the structure that SDKs expect", async () => {
    const id = await openSession(app.url, await newItem());
    const { prepare, get } = sessionFiles(clients["JSON-RPC"]!(app.url), id);
    await prepare("empty.nvram");
    await eventually("it to be ready", async () => (await get("empty.nvram")).status === "PREPARED");
    const input = { download_session_id: id, file_name: "empty.nvram" };
    const params = {
      serviceId: "com.vmware.content.library.item.downloadsession.file",
      operationId: "get",
      input: { STRUCTURE: { "operation-input": input } },
      ctx: {},
    };
    const response = await fetch(`${app.url}/api`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: "1", method: "invoke", params }),
    });
    const structure = (name: string, members: object) => ({
      STRUCTURE: { [`com.vmware.content.library.item.${name}`]: members },
    });
    const checksum = structure("file.checksum_info", {
      algorithm: { OPTIONAL: "SHA256" },
      checksum: sha256(""),
    });
    expect(await response.json()).toMatchObject({
      result: {
        output: structure("downloadsession.file.info", {
          name: "empty.nvram",
          size: { OPTIONAL: 0 },
          bytes_transferred: 0,
          status: "PREPARED",
          download_endpoint: {
            OPTIONAL: structure("transfer_endpoint", {
              uri: expect.stringContaining("/download/"),
              ssl_certificate_thumbprint: { OPTIONAL: null },
            }),
          },
          checksum_info: { OPTIONAL: checksum },
          error_message: { OPTIONAL: null },
          checksums: { OPTIONAL: [checksum] },
        }),
      },
    });
  });

  test("list, prepare and get renew the lease", async () => {
    const id = await openSession(app.url, await newItem());
    const { list, prepare, get } = sessionFiles(clients["/api"]!(app.url), id);
    let before = await expiryOf(app.url, id);
    for (const renew of [
      list,
      () => prepare("disk.vmdk"),
      () => get("disk.vmdk"),
      () => get("empty.nvram"),
    ]) {
      await eventually("the lease to be renewed", async () => {
        await renew();
        return (await expiryOf(app.url, id)) > before;
      });
      before = await expiryOf(app.url, id);
    }
    await get("none");
    await prepare("none");
    expect(await expiryOf(app.url, id)).toBe(before);
  });

  test("Inspect lists the same files, and does not renew the lease", async () => {
    const id = await openSession(app.url, await newItem());
    const client = createClient(FileService, createGrpcTransport({ baseUrl: app.url }));
    await client.prepare({ downloadSessionId: id, fileName: "empty.nvram" });
    const before = await expiryOf(app.url, id);
    const { files } = await client.inspect({ downloadSessionId: id });
    expect(await expiryOf(app.url, id)).toBe(before);
    const { files: listed } = await client.list({ downloadSessionId: id });
    expect(files.map(({ name, status }) => [name, status])).toEqual(
      listed.map(({ name, status }) => [name, status]),
    );
    expect(await client.inspect({ downloadSessionId: "none" }).catch(({ code }) => code)).toBe(Code.NotFound);
  });

  test("a file that does not match its manifest is in error, until it is repaired and prepared again", async () => {
    const right = sha256("right");
    const itemId = await addItem(app.contentRoot, {
      "disk.vmdk": "wrong",
      "package.mf": `SHA256(disk.vmdk)= ${right}`,
    });
    const id = await openSession(app.url, itemId);
    const { prepare, get } = sessionFiles(clients.gRPC!(app.url), id);
    await prepare("disk.vmdk");
    const failed = await eventually("the error", async () => {
      const file = await get("disk.vmdk");
      return file.status === "ERROR" ? file : undefined;
    });
    expect(failed.error_message).toMatchObject({
      id: "downlease.file.checksum_mismatch",
      args: ["disk.vmdk", "SHA256", right, sha256("wrong")],
    });
    expect(failed.checksum_info ?? failed.download_endpoint).toBeUndefined();
    // The failure is the version's: another session finds it.
    const other = sessionFiles(clients.gRPC!(app.url), await openSession(app.url, itemId));
    expect((await other.get("disk.vmdk")).status).toBe("UNPREPARED");
    await writeFile(join(app.contentRoot, "lib", itemId, "disk.vmdk"), "right");
    const another = sessionFiles(clients.gRPC!(app.url), await openSession(app.url, itemId));
    await another.prepare("disk.vmdk");
    await eventually("it to be ready", async () => (await another.get("disk.vmdk")).status === "PREPARED");
  });

  test("a file that one session has prepared is ready at once in another", async () => {
    const itemId = await newItem();
    const first = sessionFiles(clients.gRPC!(app.url), await openSession(app.url, itemId));
    await first.prepare("disk.vmdk");
    await eventually("it to be ready", async () => (await first.get("disk.vmdk")).status === "PREPARED");
    const second = sessionFiles(clients.gRPC!(app.url), await openSession(app.url, itemId));
    expect((await second.get("disk.vmdk")).status).toBe("UNPREPARED");
    expect((await second.prepare("disk.vmdk")).status).toBe("PREPARED");
  });

  test("an expired session is not found", async () => {
    const brief = await startTestApp({ store: kind, leaseSeconds: 0.3 });
    const id = await openSession(brief.url, await addItem(brief.contentRoot, { "disk.vmdk": "x" }));
    const { list, prepare, get } = sessionFiles(clients.gRPC!(brief.url), id);
    await prepare("disk.vmdk");
    await eventually(
      "the session to expire",
      async () => (await fetch(`${brief.url}${sessions}/${id}`)).status === 404,
    );
    expect(await list()).toBe("404 downlease.session.not_found");
    expect((await get("disk.vmdk")).status).toBe("404 downlease.session.not_found");
    expect((await prepare("disk.vmdk")).status).toBe("404 downlease.session.not_found");
    await brief.stop();
  });

  test("an item of a thousand files is listed and prepared", async () => {
    const names = Array.from({ length: 1_000 }, (_, n) => `file-${String(n).padStart(4, "0")}`);
    const files = Object.fromEntries(names.map((name) => [name, name]));
    const id = await openSession(app.url, await addItem(app.contentRoot, files));
    const { list, prepare } = sessionFiles(clients.gRPC!(app.url), id);
    const listed = async () => (await list()) as { name: string; status: string }[];
    expect((await listed()).map(({ name }) => name)).toEqual(names);
    for (const name of names.slice(0, 40)) await prepare(name);
    await eventually("all requested files to be ready", async () => {
      const ready = (await listed()).filter(({ status }) => status === "PREPARED");
      expect(ready.map(({ name }) => name)).toEqual(names.slice(0, 40));
      return true;
    });
  }, 60_000);
});
