import { cp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createContext, Script } from "node:vm";
import { publint } from "publint";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { apiReport, apiReportPath } from "../../deploy/package/api-report.ts";
import { importedPackages } from "../../deploy/package/manifests.ts";
import { nodeProblem } from "../../src/client/node-version.ts";
import {
  compile,
  installPackages,
  link,
  type Project,
  root,
  run,
  typescriptIn,
} from "../support/packages.ts";
import { type Service, startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

/** They are built, packed and installed, in half a minute, so only `npm run test:all` does it. */
const arePacked = process.env.TEST_ALL !== undefined;

/** A release of Node.js that the system has beside that of the tests. */
const otherNode = "/usr/bin/node";
const hasOldNode = await isOldNode(otherNode);

describe.runIf(arePacked)("the packages", () => {
  let scratch: TempDir;
  let project: Project;
  let main: string;
  beforeAll(async () => {
    scratch = await tempDir();
    project = await installPackages(scratch.path, [
      // They are optional.
      "@aws-sdk/client-s3",
      "pino-pretty",
    ]);
    main = join(project.installed.downlease, "src/main.js");
  }, 240_000);
  afterAll(() => scratch.remove());

  const packages = ["downlease", "client"] as const;

  test("downlease has no TypeScript but declarations, and everything that is read beside the code", async () => {
    const packed = (await readdir(project.installed.downlease, { recursive: true })).sort();
    const typeScript = packed.filter((name) => /(?<!\.d)\.ts$/.test(name));
    expect(typeScript.filter((name) => !name.startsWith("examples/"))).toEqual([]);
    const sources = await readdir(join(root, "src"), { recursive: true });
    const others: string[] = [];
    for (const name of sources) {
      const isBuilt = /\.ts$|^console/.test(name);
      if (!isBuilt && (await stat(join(root, "src", name))).isFile()) others.push(name);
    }
    expect(others.length).toBeGreaterThan(10);
    expect(others.filter((name) => !packed.includes(join("src", name)))).toEqual([]);
    const protos = (await readdir(join(root, "proto"), { recursive: true })).filter((name) =>
      /proto$/.test(name),
    );
    expect(protos.length).toBeGreaterThan(10);
    expect(protos.filter((name) => !packed.includes(join("proto", name)))).toEqual([]);
  });

  test.each(packages)(
    "the pages of the package %s have no dead links, and its README all of its own",
    async (name) => {
      const directory = project.installed[name];
      const pages = (await readdir(directory, { recursive: true })).filter((path) => path.endsWith(".md"));
      expect(pages).toContain("README.md");
      const dead: string[] = [];
      for (const page of pages) {
        const text = await readFile(join(directory, page), "utf8");
        for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
          if (/^(https?:|#)/.test(target)) continue;
          const path = join(directory, page, "..", target.replace(/#.*$/, ""));
          if (!(await stat(path).catch(() => undefined))) dead.push(`${page}: ${target}`);
        }
      }
      expect(dead).toEqual([]);
      const readme = await readFile(join(root, "deploy/package", name, "README.md"), "utf8");
      expect(await readFile(join(directory, "README.md"), "utf8")).toBe(readme);
    },
  );

  test.each(packages)("publint has nothing to say about the package %s", async (name) => {
    const { messages } = await publint({ pkgDir: project.installed[name], pack: false });
    expect(messages).toEqual([]);
  });

  test.each(packages)(
    "the package %s depends on what its code imports, and on nothing else",
    async (name) => {
      const directory = project.installed[name];
      const code = (await readdir(directory, { recursive: true })).filter((path) => path.endsWith(".js"));
      const texts = await Promise.all(code.map((path) => readFile(join(directory, path), "utf8")));
      const manifest = JSON.parse(await readFile(join(directory, "package.json"), "utf8"));
      const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
      expect(dependencies.sort()).toEqual(importedPackages(texts));
    },
  );

  test("the interface of the SDK is as docs/client-api.txt reports it; npm run api writes it", async () => {
    expect(apiReport(project.dist.downlease)).toBe(await readFile(apiReportPath, "utf8"));
  });

  test("its program serves from node_modules, and its client downloads what it serves", {
    timeout: 120_000,
  }, async () => {
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const { bin } = JSON.parse(await readFile(join(project.installed.downlease, "package.json"), "utf8"));
    expect(join(project.installed.downlease, bin.downlease)).toBe(main);
    const { stdout } = await run(process.execPath, [main, "--version"]);
    expect(stdout.trim()).toBe(version);
    await writeFile(
      join(project.path, "download.js"),
      `import { connect, downloadItem } from "downlease/client";
     await using server = connect({ url: process.argv[2] });
     const { files } = await downloadItem(server, { itemId: "photon", directory: process.argv[3] });
     console.log(files.map(({ name }) => name).join());`,
    );
    for (const [kind, store] of [
      ["sqlite", ["--sqlite-path", join(project.path, "sessions.db")]],
      ["redis", ["--redis-url", sharedRedisUrl()]],
    ] as const) {
      await using service = await startService(
        ["--content-root", join(root, "examples/library"), ...store],
        {},
        main,
      );
      const target = join(project.path, `from-${kind}`);
      const downloaded = await run(process.execPath, ["download.js", service.url, target], {
        cwd: project.path,
      });
      expect(downloaded).toEqual({ stdout: "photon-disk1.vmdk,photon.ovf\n", stderr: "" });
      const example = join(root, "examples/library/demo/photon/photon-disk1.vmdk");
      expect(await readFile(join(target, "photon-disk1.vmdk"))).toEqual(await readFile(example));
      for (const path of ["/console/", "/docs", "/openapi.json"])
        expect([path, (await fetch(service.url + path)).status]).toEqual([path, 200]);
      const shown = await run(process.execPath, [main, "items", "list", "--server", service.url]);
      expect(shown.stdout).toContain("photon");
    }
  });

  test.each([
    [
      ["--s3-bucket", "images"],
      "content in S3 needs the package @aws-sdk/client-s3, an optional dependency that is not installed: " +
        "install downlease without --omit=optional",
    ],
    [
      ["--content-root", ".", "--log-format", "pretty"],
      "readable log lines need the package pino-pretty, an optional dependency that is not installed: " +
        "set --log-format json, or install downlease without --omit=optional",
    ],
  ])(
    "without an optional package everything else works, and %j is refused with what to install",
    async (flags, problem) => {
      const serving = ["serve", "--sqlite-path", ":memory:", "--port", "0", ...flags];
      const refused = await run(process.execPath, [main, ...serving]).catch(
        (error: { code: number; stderr: string }) => error,
      );
      expect(refused).toMatchObject({ code: 1, stderr: `downlease can't start: ${problem}\n` });
    },
  );

  test.runIf(hasOldNode)("an old release of Node.js gets one line, and no stack of its own", async () => {
    const line = /^downlease needs Node\.js 24\.15 or newer, this is [\d.]+$/m;
    const program = await run(otherNode, [main, "items"]).catch((error: { stderr: string }) => error);
    expect(program.stderr.trimEnd()).toMatch(line);
    expect(program.stderr.trimEnd().split("\n")).toHaveLength(1);
    await writeFile(
      join(project.path, "old.js"),
      'await import("@downlease/client").catch(({ message }) => console.log(message));',
    );
    expect((await run(otherNode, ["old.js"], { cwd: project.path })).stdout).toMatch(line);
  });

  describe("@downlease/client alone", () => {
    /** Has installed `@downlease/client` and nothing else. */
    let alone: string;
    let service: Service;
    beforeAll(async () => {
      alone = join(scratch.path, "alone");
      const installed = join(alone, "node_modules/@downlease/client");
      await cp(project.installed.client, installed, { recursive: true });
      const { dependencies } = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));
      for (const name of [...Object.keys(dependencies), "@types/node"]) {
        await link(name, join(alone, "node_modules"));
      }
      await writeFile(join(alone, "package.json"), '{"type": "module"}');
      service = await startService([]);
    });
    afterAll(async () => {
      await service?.stop();
    });

    test("downloads by name, and has the services for other transports", async () => {
      await writeFile(
        join(alone, "download.js"),
        `import { createClient } from "@connectrpc/connect";
     import { createGrpcTransport } from "@connectrpc/connect-node";
     import { connect, downloadItem, sessionStateName } from "@downlease/client";
     import { DownloadSessionService } from "@downlease/client/gen/content/library/item/v1/download_session_pb.js";
     const url = process.argv[2];
     await using server = connect({ url });
     const { files } = await downloadItem(server, { library: "demo", item: "Photon", directory: "downloads" });
     console.log(files.map(({ name }) => name).join());
     const sessions = createClient(DownloadSessionService, createGrpcTransport({ baseUrl: url }));
     const { downloadSessionId } = await sessions.create({ createSpec: { libraryItemId: "photon" } });
     const { downloadSession } = await sessions.get({ downloadSessionId });
     console.log(sessionStateName(downloadSession.state));
     process.exit();`,
      );
      const { stdout } = await run(process.execPath, ["download.js", service.url], { cwd: alone });
      expect(stdout).toBe("photon-disk1.vmdk,photon.ovf\nACTIVE\n");
      const disk = "photon-disk1.vmdk";
      expect(await readFile(join(alone, "downloads", disk))).toEqual(
        await readFile(join(root, "examples/library/demo/photon", disk)),
      );
    });

    test("has the interface", async () => {
      const proto = "content/library/item/v1/download_session.proto";
      expect(await readFile(join(project.installed.client, "proto", proto), "utf8")).toBe(
        await readFile(join(root, "proto", proto), "utf8"),
      );
    });

    test("its types compile in strict projects, those of its dependencies included, as its pages show", {
      timeout: 120_000,
    }, async () => {
      const pages = ["docs/sdk.md", "README.md"].map((name) =>
        readFile(join(project.installed.client, name), "utf8"),
      );
      const examples = (await Promise.all(pages)).flatMap(typescriptIn);
      const [inPages, inNode] = [true, false].map((isPage) =>
        examples.filter((text) => text.includes('"@downlease/client/browser"') === isPage),
      );
      expect(inNode!.length).toBeGreaterThanOrEqual(4);
      expect(inPages!.length).toBeGreaterThanOrEqual(1);
      const node = { module: "nodenext", types: ["node"] };
      expect(await compile(alone, [...inNode!, wrong], node)).toBe("");
      const page = {
        module: "esnext",
        moduleResolution: "bundler",
        types: [],
        lib: ["es2024", "dom", "esnext.disposable"],
      };
      expect(await compile(alone, inPages!, page)).toBe("");
    });

    test("its entry for browsers needs nothing of Node.js, and keeps a session alive", async () => {
      await writeFile(
        join(alone, "page.js"),
        `import { connect, findItem, LeaseKeeper, sessionStateName } from "@downlease/client/browser";
     globalThis.done = (async () => {
       const server = connect({ user: "älice", password: "secret" });
       const { id: libraryItemId } = await findItem(server, { item: "demo/photon" });
       const { downloadSessionId } = await server.sessions.create({ createSpec: { libraryItemId } });
       const lease = new LeaseKeeper(server, downloadSessionId);
       lease.report(40);
       await lease.close();
       const { downloadSession } = await server.sessions.get({ downloadSessionId });
       await server.close();
       return [sessionStateName(downloadSession.state), Number(downloadSession.clientProgress)].join();
     })();`,
      );
      const warnings: string[] = [];
      await using bundle = await rolldown({
        input: join(alone, "page.js"),
        platform: "browser",
        onLog: (_, log) => warnings.push(log.message),
      });
      const { output } = await bundle.generate({ format: "iife", minify: true });
      expect(warnings).toEqual([]);
      expect(output[0].imports).toEqual([]);
      // Connect, the messages of all services and the runtime of protobuf; a download would bring zod as well.
      expect(output[0].code.length).toBeLessThan(300_000);

      const page = createContext({ ...webGlobals, location: { origin: service.url } });
      new Script(output[0].code).runInContext(page);
      expect(await page.done).toBe("ACTIVE,40");
    });
  });

  const wrong = `import { connect, downloadItem } from "@downlease/client";
  const server = connect({ url: "" });
  // @ts-expect-error: the item is missing
  await downloadItem(server, { directory: "." });
  // @ts-expect-error: the item is chosen in two ways
  await downloadItem(server, { item: "photon", itemId: "photon", directory: "." });`;

  /** What Node.js has in common with browsers; a context has no `process`, `Buffer` or `require` of its own. */
  const webGlobals = Object.fromEntries(
    [
      ...[
        "AbortController",
        "AbortSignal",
        "DOMException",
        "Headers",
        "Response",
        "TextDecoder",
        "TextEncoder",
      ],
      ...["URL", "btoa", "atob", "clearTimeout", "fetch", "performance", "setTimeout"],
    ].map((name) => [name, Reflect.get(globalThis, name)]),
  );
});

async function isOldNode(path: string): Promise<boolean> {
  const { stdout } = await run(path, ["--version"]).catch(() => ({ stdout: "" }));
  return stdout !== "" && nodeProblem(stdout.trim().slice(1)) !== undefined;
}
