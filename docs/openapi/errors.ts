/** The answers that refuse a request, by their statuses. */
import type { DescMethod } from "@bufbuild/protobuf";
import { vapiErrorBody } from "../../src/calls/vapi-error.ts";
import {
  type ErrorKind,
  type ErrorMessageId,
  errorKinds,
  httpStatusOf,
  ServiceError,
} from "../../src/domain/errors.ts";
import type { OperationOptions } from "../../src/protocols/vapi/operation-options.ts";
import { type ErrorText, methodErrorsOf, serviceErrorsOf } from "./comments.ts";
import type { Json } from "./json.ts";

/** Errors that any operation may answer with, besides those that it declares. */
const commonErrors: readonly ErrorKind[] = [
  "invalid_argument",
  "invalid_request",
  "unauthenticated",
  "misdirected",
  "internal_server_error",
  "service_unavailable",
];
const bodyErrors: readonly ErrorKind[] = ["body_too_large", "unsupported_media_type"];
const loginErrors: readonly ErrorKind[] = ["too_many_attempts"];

interface KindText {
  /** When it is raised, unless comments say. */
  readonly text: string;
  readonly example: readonly [ErrorMessageId, ...args: string[]];
}

const kindTexts: Partial<Record<ErrorKind, KindText>> = {
  invalid_argument: {
    text: ": a value is not valid.",
    example: ["downlease.argument.type", "progress", "an integer of 64 bits"],
  },
  invalid_request: {
    text: ": the request can't be read.",
    example: ["downlease.request.malformed", "the body must be a JSON object"],
  },
  not_allowed_in_current_state: {
    text: ": the session is not ACTIVE.",
    example: ["downlease.session.not_active", "9a1c7f60-5d0e-5c1b-8a77-2f6d3c4b5e10", "CANCELED"],
  },
  unauthenticated: {
    text: ": the credentials are missing or not valid.",
    example: ["downlease.authentication.required"],
  },
  unauthorized: { text: ": the caller lacks a role.", example: ["downlease.admin.role"] },
  not_found: {
    text: ": there is no such object.",
    example: ["downlease.item.not_found", "none"],
  },
  concurrent_change: {
    text: ": somebody else has changed the object.",
    example: ["downlease.settings.conflict", "4", "3"],
  },
  body_too_large: {
    text: ": the body is larger than the service accepts.",
    example: ["downlease.request.too_large", "65536"],
  },
  unsupported_media_type: {
    text: ": the body is not JSON in UTF-8.",
    example: [
      "downlease.request.media_type",
      "the content type 'text/plain' is not accepted",
      "application/json",
    ],
  },
  misdirected: {
    text: ": the service does not go by the host that the request names; only while nobody has to log in.",
    example: ["downlease.request.host"],
  },
  too_many_attempts: {
    text: ": there were too many attempts.",
    example: ["downlease.login.too_many_failures", "30"],
  },
  unable_to_allocate_resource: {
    text: ": there are too many objects.",
    example: ["downlease.session.too_many", "10000"],
  },
  internal_server_error: {
    text: ": the service failed; its log has the details under the request id.",
    example: ["downlease.server.internal", "5f3d2c1b-0a99-4c8e-8d7f-6e5a4b3c2d1e"],
  },
  service_unavailable: {
    text: ": the service is overloaded, stops, or can't reach its store or content.",
    example: ["downlease.store.unavailable"],
  },
};

/** The names of the headers that answers have, by the kind of error. */
const errorHeaders: Partial<Record<ErrorKind, string>> = {
  unauthenticated: "WWW-Authenticate",
  too_many_attempts: "Retry-After",
  service_unavailable: "Retry-After",
};

/** Answers that refuse a request, and that operations share because no comment says more about them. */
export class ErrorResponses {
  readonly #shared = new Map<string, Json>();

  get shared(): Json {
    return Object.fromEntries(this.#shared);
  }

  /**
   * The error responses of an operation, by status.
   *
   * @throws Error when the comment of the method names an error that the operation does not declare
   */
  of(
    method: DescMethod,
    options: OperationOptions,
    hasBody: boolean,
    isLogin: boolean,
  ): Record<string, Json> {
    const declared = [...options.errors, ...(isLogin ? loginErrors : [])];
    const kinds = new Set([...commonErrors, ...declared, ...(hasBody ? bodyErrors : [])]);
    const texts = new Map<ErrorKind, string[]>();
    const note = (error: ErrorText, among: Iterable<ErrorKind>) => {
      const kind = [...among].find((candidate) => isMeant(candidate, error));
      if (kind !== undefined) texts.set(kind, [...(texts.get(kind) ?? []), error.text]);
      return kind !== undefined;
    };
    for (const error of serviceErrorsOf(method.parent)) note(error, kinds);
    for (const error of methodErrorsOf(method)) {
      if (!note(error, declared)) throw new Error(`${method} does not declare ${error.grpc}${error.text}`);
    }
    const byStatus = Map.groupBy(kinds, (kind) => httpStatusOf(kind, "api"));
    return Object.fromEntries(
      [...byStatus]
        .sort(([a], [b]) => a - b)
        .map(([status, list]) => [String(status), this.#responseOf(list, texts)]),
    );
  }

  #responseOf(kinds: readonly ErrorKind[], texts: ReadonlyMap<ErrorKind, readonly string[]>): Json {
    if (kinds.some((kind) => texts.has(kind))) return responseOf(kinds, texts);
    const name = kinds.join("_or_");
    if (!this.#shared.has(name)) this.#shared.set(name, responseOf(kinds, texts));
    return { $ref: `#/components/responses/${name}` };
  }
}

function isMeant(kind: ErrorKind, { grpc, vapi }: ErrorText): boolean {
  const codes = errorKinds[kind];
  return codes.grpc === grpc && (vapi === undefined || codes.vapi === vapi.toLowerCase());
}

function responseOf(kinds: readonly ErrorKind[], texts: ReadonlyMap<ErrorKind, readonly string[]>): Json {
  const lines = kinds.flatMap((kind) =>
    (texts.get(kind) ?? [kindTextOf(kind).text]).map((text) => `\`${typeOf(kind)}\`${text}`),
  );
  const headers = ["X-Request-ID", ...new Set(kinds.flatMap((kind) => errorHeaders[kind] ?? []))];
  return {
    description: lines.length === 1 ? lines[0] : lines.map((line) => `- ${line}`).join("\n"),
    headers: Object.fromEntries(headers.map((name) => [name, { $ref: `#/components/headers/${name}` }])),
    content: {
      "application/json": {
        schema: { $ref: "#/components/schemas/Error" },
        examples: Object.fromEntries(kinds.map((kind) => [kind, { value: exampleOf(kind) }])),
      },
    },
  };
}

function exampleOf(kind: ErrorKind): Json {
  const [id, ...args] = kindTextOf(kind).example;
  return vapiErrorBody(new ServiceError(id, args));
}

function kindTextOf(kind: ErrorKind): KindText {
  const text = kindTexts[kind];
  if (text === undefined) throw new Error(`There is no text about ${kind} in the OpenAPI document`);
  return text;
}

function typeOf(kind: ErrorKind): string {
  return errorKinds[kind].vapi.toUpperCase();
}

export const errorSchema: Json = {
  type: "object",
  description:
    "Why a request was refused. The messages are in English; `id` and `args` are for translations.",
  required: ["error_type", "messages"],
  properties: {
    error_type: {
      type: "string",
      enum: [...new Set(Object.keys(errorKinds).map((kind) => typeOf(kind as ErrorKind)))].sort(),
    },
    messages: {
      type: "array",
      items: {
        type: "object",
        required: ["id", "default_message", "args"],
        properties: {
          id: { type: "string", description: "Key of the message, for example `downlease.item.not_found`." },
          default_message: { type: "string", description: "The text in English, arguments filled in." },
          args: { type: "array", items: { type: "string" }, description: "Arguments of the message." },
        },
      },
    },
  },
};

export const responseHeaders: Json = {
  "X-Request-ID": {
    description: "Identifies the request in the logs: the caller's own, or a generated one.",
    schema: { type: "string" },
  },
  "WWW-Authenticate": {
    description: "The credentials that the service accepts.",
    schema: { type: "string" },
  },
  "Retry-After": {
    description: "Seconds to wait before another attempt.",
    schema: { type: "integer", minimum: 0 },
  },
};
