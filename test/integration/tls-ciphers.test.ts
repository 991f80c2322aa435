import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ConnectionOptions, connect, getCiphers } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Server } from "../../src/server/server.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const keys = { RSA: "rsa:2048", ECDSA: "ec -pkeyopt ec_paramgen_curve:P-256" };

let directory: TempDir;
beforeAll(async () => {
  directory = await tempDir();
});
afterAll(() => directory.remove());

describe.each(Object.entries(keys))("with a key for %s", (name, newKey) => {
  let server: Server;
  beforeAll(async () => {
    const [cert, key] = [join(directory.path, `${name}.pem`), join(directory.path, `${name}.key`)];
    const request = `req -x509 -newkey ${newKey} -nodes -days 2 -subj /CN=localhost -keyout ${key} -out ${cert}`;
    await promisify(execFile)("openssl", request.split(" "));
    const tls = { cert: await readFile(cert), key: await readFile(key) };
    server = new Server({ handler() {}, host: "127.0.0.1", port: 0, tls });
    await server.listen();
  });
  afterAll(() => server.close(AbortSignal.abort()));

  /** The protocol and the cipher that a client gets, or the code of the error. */
  function handshake(options: ConnectionOptions): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect({ port: server.port, rejectUnauthorized: false, ...options });
      socket.once("secureConnect", () => {
        resolve(`${socket.getProtocol()} ${socket.getCipher().name}`);
        socket.destroy();
      });
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  }

  test("TLS 1.2 has forward-secret ciphers with authenticated encryption only", async () => {
    const all = getCiphers()
      .map((cipher) => cipher.toUpperCase())
      .filter((cipher) => !cipher.startsWith("TLS_"));
    for (const old of [
      "AES256-GCM-SHA384",
      "AES128-SHA",
      "ECDHE-RSA-AES128-SHA",
      "DHE-RSA-AES128-GCM-SHA256",
    ])
      expect(all).toContain(old);
    const accepted = [];
    for (const cipher of all) {
      const got = await handshake({ ciphers: `${cipher}:@SECLEVEL=0`, maxVersion: "TLSv1.2" });
      if (got.startsWith("TLS")) accepted.push(got);
    }
    expect(accepted.sort()).toEqual([
      `TLSv1.2 ECDHE-${name}-AES128-GCM-SHA256`,
      `TLSv1.2 ECDHE-${name}-AES256-GCM-SHA384`,
      `TLSv1.2 ECDHE-${name}-CHACHA20-POLY1305`,
    ]);
  });

  test("clients get TLS 1.3 when they can, and nothing below TLS 1.2", async () => {
    expect(await handshake({})).toMatch(/^TLSv1\.3 TLS_AES_/);
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" } as const;
    expect(await handshake(old)).not.toMatch(/^TLS/);
  });
});
