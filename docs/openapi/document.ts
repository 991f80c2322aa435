import { readFileSync } from "node:fs";
import { type DescMethod, type DescService, hasOption } from "@bufbuild/protobuf";
import { operation as operationOption } from "../../gen/vapi/v1/options_pb.ts";
import { isOptional } from "../../src/calls/vapi-schema.ts";
import { type ErrorKind, errorKinds, httpStatusOf } from "../../src/domain/errors.ts";
import {
  type OperationOptions,
  optionsOf,
  type Route,
  templateOf,
} from "../../src/protocols/vapi/operation-options.ts";
import { placementOn } from "../operations.ts";
import { type Json, Schemas, textOf } from "./schemas.ts";

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

/** What a client may prove itself with; the empty one is for a service without authentication. */
const credentials = [{ session: [] }, { bearer: [] }, { certificate: [] }, {}];
const loginCredentials = [{ password: [] }, { bearer: [] }, { certificate: [] }, {}];

const securitySchemes: Json = {
  session: {
    type: "apiKey",
    in: "header",
    name: "vmware-api-session-id",
    description:
      "A login session, which `POST /api/session` opens. Browsers may send it as a cookie of this name.",
  },
  bearer: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "A token of the issuer that is set.",
  },
  password: {
    type: "http",
    scheme: "basic",
    description: "Name and password, only to open a login session.",
  },
  certificate: { type: "mutualTLS", description: "A client certificate." },
};

const about = `The \`/api\` dialect of VMware's REST, and the administration of the service below \`/api/downlease\`.

Results are bare, members that are unset are left out, and numbers of 64 bits are JSON numbers.
Unknown members of requests are refused, unknown query parameters are ignored.
Operations that share a path are distinguished by the query parameter \`action\`, which is a part of the path here, as in VMware's own documents.

The same operations are served over gRPC, gRPC-Web, Connect, vAPI JSON-RPC and the older dialects of REST.`;

/** The OpenAPI document of all operations with routes of `/api`. */
export function openApiOf(services: readonly DescService[]): Json {
  const schemas = new Schemas();
  const paths: Record<string, Record<string, Json>> = {};
  const tags: Json[] = [];
  for (const service of services) {
    const methods = service.methods.filter((method) => hasOption(method, operationOption));
    const routed = methods.flatMap((method) => {
      const options = optionsOf(method);
      return options.routes.api.map((route) => ({ method, options, route }));
    });
    if (routed.length === 0) continue;
    tags.push({ name: routed[0]!.options.serviceId, description: textOf(service) });
    for (const { method, options, route } of routed) {
      const path = `/api${templateOf(route)}${route.action === "" ? "" : `?action=${route.action}`}`;
      // Two operations of one path: the second is selected by a parameter, and described with the first.
      const isTaken = paths[path]?.[route.method.toLowerCase()] !== undefined;
      const key = isTaken ? `${path}?${route.dispatch}` : path;
      paths[key] ??= {};
      paths[key][route.method.toLowerCase()] = operationOf(method, options, route, schemas);
    }
  }
  const { version, license } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  return {
    openapi: "3.1.0",
    info: {
      title: "downlease",
      version,
      description: about,
      license: { name: license, identifier: license },
    },
    servers: [{ url: "/", description: "The service that has sent this document." }],
    security: credentials,
    tags,
    paths,
    components: { schemas: { ...schemas.all, Error: errorSchema }, securitySchemes, headers },
  };
}

function operationOf(method: DescMethod, options: OperationOptions, route: Route, schemas: Schemas): Json {
  const [summary = "", ...rest] = textOf(method).split(/(?<=[.:])\s/);
  const isLogin = options.serviceId === "com.vmware.cis.session" && options.operationId === "create";
  const body = bodyOf(method, route, schemas);
  return {
    tags: [options.serviceId],
    operationId: `${options.serviceId.replace(/^com\.vmware\./, "")}.${options.operationId}`,
    summary: summary.replace(/\s*\(`[^`]*`\)\.$/, ".").replace(/\.$/, ""),
    description: [summary, ...rest].join(" "),
    ...(isLogin && { security: loginCredentials }),
    parameters: parametersOf(method, route, schemas),
    ...(body !== undefined && { requestBody: body }),
    responses: {
      [route.status]: successOf(options, schemas),
      ...errorsOf(options, body !== undefined, isLogin),
    },
  };
}

function parametersOf(method: DescMethod, route: Route, schemas: Schemas): Json[] {
  const { path, headers: headerFields, query } = placementOn(route, method);
  const parameter = (name: string, field: string, place: string, required: boolean) => {
    const desc = method.input.fields.find((each) => each.name === field)!;
    const { description, ...schema } = schemas.ofField(desc);
    return { name, in: place, required, ...(description !== undefined && { description }), schema };
  };
  const isRequired = (name: string) => !isOptional(method.input.fields.find((each) => each.name === name)!);
  return [
    ...path.map((name) => parameter(name, name, "path", true)),
    ...query.map((name) => parameter(name, name, "query", isRequired(name))),
    ...headerFields.map(({ name, field }) => parameter(name, field, "header", false)),
  ];
}

function bodyOf(method: DescMethod, route: Route, schemas: Schemas): Json | undefined {
  const { body } = placementOn(route, method);
  const fields = method.input.fields.filter(({ name }) =>
    typeof body === "string" ? name === body : body.includes(name),
  );
  if (fields.length === 0) return undefined;
  const schema = typeof body === "string" ? schemas.ofField(fields[0]!) : schemas.ofFields(fields);
  const required = fields.some((field) => !isOptional(field));
  return { required, content: { "application/json": { schema } } };
}

function successOf({ result }: OperationOptions, schemas: Schemas): Json {
  const shared = { headers: { "X-Request-ID": { $ref: "#/components/headers/X-Request-ID" } } };
  if (result === undefined) return { description: "Done.", ...shared };
  const { description = "The result.", ...schema } = schemas.ofField(result);
  return { description, ...shared, content: { "application/json": { schema } } };
}

/** Errors by status: several kinds may share one. */
function errorsOf({ errors }: OperationOptions, hasBody: boolean, isLogin: boolean): Json {
  const kinds = [...commonErrors, ...errors, ...(hasBody ? bodyErrors : []), ...(isLogin ? loginErrors : [])];
  const byStatus = Map.groupBy(new Set(kinds), (kind) => httpStatusOf(kind, "api"));
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, list]) => [
        status,
        {
          description: list.map((kind) => `\`${errorKinds[kind].vapi.toUpperCase()}\``).join(", "),
          headers: Object.fromEntries(
            [
              "X-Request-ID",
              ...(status === 401 ? ["WWW-Authenticate"] : []),
              ...(status === 503 || status === 429 ? ["Retry-After"] : []),
            ].map((name) => [name, { $ref: `#/components/headers/${name}` }]),
          ),
          content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
        },
      ]),
  );
}

const headers: Json = {
  "X-Request-ID": {
    description: "Identifies the request in the logs: the caller's own, or a generated one.",
    schema: { type: "string" },
  },
  "WWW-Authenticate": {
    description: "The credentials that the service accepts.",
    schema: { type: "string" },
  },
  "Retry-After": { description: "Seconds to wait before another attempt.", schema: { type: "string" } },
};

const errorSchema: Json = {
  type: "object",
  description:
    "Why a request was refused. The messages are in English; `id` and `args` are for translations.",
  required: ["error_type", "messages"],
  properties: {
    error_type: {
      type: "string",
      enum: [...new Set(Object.values(errorKinds).map(({ vapi }) => vapi.toUpperCase()))].sort(),
    },
    messages: {
      type: "array",
      items: {
        type: "object",
        required: ["id", "default_message", "args"],
        properties: {
          id: { type: "string" },
          default_message: { type: "string" },
          args: { type: "array", items: { type: "string" } },
        },
      },
    },
  },
  examples: [
    {
      error_type: "NOT_FOUND",
      messages: [
        {
          id: "downlease.item.not_found",
          default_message: "Library item 'none' does not exist.",
          args: ["none"],
        },
      ],
    },
  ],
};
