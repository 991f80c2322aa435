import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** A span as a collector gets it. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first one of a trace. */
  readonly parentId: string;
  readonly traceState: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** 2 for an error. */
  readonly status: number;
  /** Of the process that has sent it. */
  readonly resource: Readonly<Record<string, unknown>>;
}

/** A collector of OpenTelemetry that keeps the spans it receives: OTLP over HTTP, in protobuf. */
export interface OtlpReceiver extends Disposable {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Headers of the requests. */
  readonly headers: readonly NodeJS.Dict<string | string[]>[];
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const headers: NodeJS.Dict<string | string[]>[] = [];
  const server = createServer(async (request, response) => {
    headers.push({ ...request.headers, url: request.url });
    const chunks = await request.toArray();
    const body = Buffer.concat(chunks);
    spans.push(...spansIn(request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body));
    response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    headers,
    [Symbol.dispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The values of each field of a message, by number; submessages and texts as bytes. */
type Fields = ReadonlyMap<number, readonly (Buffer | bigint)[]>;

function fieldsOf(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, (Buffer | bigint)[]>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const values = fields.get(number) ?? [];
    fields.set(number, values);
    if (type === WireType.LengthDelimited) values.push(Buffer.from(reader.bytes()));
    else if (type === WireType.Varint) values.push(BigInt(reader.int64()));
    else if (type === WireType.Bit64) values.push(BigInt(reader.fixed64()));
    else reader.skip(type, number);
  }
  return fields;
}

const all = (fields: Fields, number: number) => (fields.get(number) ?? []) as readonly Buffer[];
const textOf = (fields: Fields, number: number) => all(fields, number)[0]?.toString() ?? "";
const idOf = (fields: Fields, number: number) => all(fields, number)[0]?.toString("hex") ?? "";
const numberOf = (fields: Fields, number: number) => Number(fields.get(number)?.[0] ?? 0);

/** Of an ExportTraceServiceRequest (opentelemetry/proto/collector/trace/v1). */
function spansIn(body: Uint8Array): ReceivedSpan[] {
  return all(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const ofResource = fieldsOf(resourceSpans);
    const resource = attributesOf(all(fieldsOf(all(ofResource, 1)[0]!), 1));
    return all(ofResource, 2).flatMap((scopeSpans) =>
      all(fieldsOf(scopeSpans), 2).map((span) => ({ ...spanOf(fieldsOf(span)), resource })),
    );
  });
}

function spanOf(fields: Fields): Omit<ReceivedSpan, "resource"> {
  const [status] = all(fields, 15);
  return {
    traceId: idOf(fields, 1),
    spanId: idOf(fields, 2),
    traceState: textOf(fields, 3),
    parentId: idOf(fields, 4),
    name: textOf(fields, 5),
    kind: numberOf(fields, 6),
    attributes: attributesOf(all(fields, 9)),
    status: status === undefined ? 0 : numberOf(fieldsOf(status), 3),
  };
}

function attributesOf(pairs: readonly Buffer[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const fields = fieldsOf(pair);
      const value = fieldsOf(all(fields, 2)[0] ?? Buffer.alloc(0));
      return [textOf(fields, 1), value.has(1) ? textOf(value, 1) : numberOf(value, 3)];
    }),
  );
}
