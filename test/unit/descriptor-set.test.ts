import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { beforeAll, describe, expect, test } from "vitest";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { type HttpRequest, type HttpResponse, pathOf } from "../../src/calls/http.ts";
import { operation } from "../../src/calls/pipeline.ts";
import { descriptorSetHandler, descriptorSetPath } from "../../src/protocols/rpc/descriptor-set.ts";

const unary = [operation({ method: DownloadSessionService.method.get, run: () => Promise.reject() })];
const { serve, takes } = descriptorSetHandler({ unary, streams: [], serverStreams: [] }, ["x-page", "yes"]);

/** The answer to a request, its headers by name. */
function answerTo(method: string, headers: Record<string, string> = {}, url = descriptorSetPath) {
  const answer = { status: 0, headers: {} as Record<string, string>, body: Buffer.alloc(0) };
  const response = {
    writeHead(status: number, flat: string[]) {
      answer.status = status;
      for (let at = 0; at < flat.length; at += 2) answer.headers[flat[at]!] = flat[at + 1]!;
    },
    end(body: Uint8Array | string = "") {
      answer.body = Buffer.from(body as string);
    },
  };
  const request = { method, url, headers, resume() {} } as unknown as HttpRequest;
  serve(request, response as unknown as HttpResponse, pathOf(request));
  return answer;
}

describe("the served descriptor set", () => {
  let files: readonly FileDescriptorProto[];
  beforeAll(() => {
    files = fromBinary(FileDescriptorSetSchema, answerTo("GET").body).file;
  });

  test("has each file once, after those that it imports", () => {
    const seen = new Set<string>();
    for (const { name, dependency } of files) {
      expect(dependency.filter((each) => !seen.has(each))).toEqual([]);
      expect(seen).not.toContain(name);
      seen.add(name);
    }
    expect(seen).toContain("google/rpc/error_details.proto");
  });

  test("describes the services", () => {
    const { file } = fromBinary(FileDescriptorSetSchema, answerTo("GET").body);
    const registry = createFileRegistry({
      ...fromBinary(FileDescriptorSetSchema, answerTo("GET").body),
      file,
    });
    const names = ["content.library.item.v1.DownloadSessionService", "grpc.health.v1.Health"];
    const services = names.map((name) => registry.getService(name) as DescService);
    expect(services.map(({ typeName }) => typeName)).toEqual(names);
  });

  test("names a package for Go and Java in every file", () => {
    const without = files.filter(({ options }) => !options?.goPackage || !options.javaPackage);
    expect(without.map(({ name }) => name)).toEqual([]);
  });

  test("is cached: an ETag answers 304, other methods 405", () => {
    const { status, headers, body } = answerTo("GET");
    expect({ status, length: headers["content-length"] }).toEqual({
      status: 200,
      length: String(body.length),
    });
    expect(headers["cache-control"]).toBe("public, max-age=3600");
    expect(headers["x-page"]).toBe("yes");
    const again = answerTo("GET", { "if-none-match": `W/"other", ${headers.etag}` });
    expect([again.status, again.body.length, again.headers.etag]).toEqual([304, 0, headers.etag]);
    expect(answerTo("GET", { "if-none-match": '"other"' }).status).toBe(200);
    const head = answerTo("HEAD");
    expect([head.status, head.body.length, head.headers]).toEqual([200, 0, headers]);
    const { status: refused, headers: allowed } = answerTo("POST");
    expect([refused, allowed.allow]).toEqual([405, "GET, HEAD"]);
  });

  test("takes its path only", () => {
    const taken = [descriptorSetPath, `${descriptorSetPath}?x`, "/proto/", `${descriptorSetPath}x`].map(
      (url) => takes({ url } as HttpRequest, pathOf({ url } as HttpRequest)),
    );
    expect(taken).toEqual([true, true, false, false]);
  });
});

test("every file in proto/ names its packages for Go and Java", () => {
  const root = resolve(import.meta.dirname, "../../proto");
  const names = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".proto"),
  );
  expect(names.length).toBeGreaterThan(10);
  for (const name of names) {
    const text = readFileSync(join(root, name), "utf8");
    for (const option of ["go_package", "java_multiple_files", "java_package"])
      expect(text, `${name} has no ${option}`).toContain(`option ${option} = `);
    if (/^(google|grpc)\//.test(name)) continue;
    const folder = name.slice(0, name.lastIndexOf("/"));
    expect(text).toContain(`option go_package = "github.com/downlease/downlease/gen/go/${folder};`);
    expect(text).toContain(`option java_package = "io.downlease.${folder.replaceAll("/", ".")}";`);
  }
});
