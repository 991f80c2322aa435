/** One operation on one route, as a part of the document. */
import type { DescMethod } from "@bufbuild/protobuf";
import type { OperationOptions, Route } from "../../src/protocols/vapi/operation-options.ts";
import { type Placement, placementOn } from "../operations.ts";
import { operationTextOf } from "./comments.ts";
import type { ErrorResponses } from "./errors.ts";
import { type Example, examples } from "./examples.ts";
import type { Json } from "./json.ts";
import { isRequired, type Schemas } from "./schemas.ts";

export interface RoutedOperation {
  readonly method: DescMethod;
  readonly options: OperationOptions;
  readonly route: Route;
}

/** A member of `paths.{path}`. */
export interface OperationObject {
  readonly tags: readonly string[];
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters: readonly Json[];
  readonly responses: Readonly<Record<string, Json>>;
  readonly [name: string]: unknown;
}

/** What may prove the caller, when a login session is opened. */
const loginCredentials = [{ password: [] }, { bearer: [] }, { certificate: [] }];

/** What the document's parts are made with. */
export interface DocumentParts {
  readonly schemas: Schemas;
  readonly errors: ErrorResponses;
}

/** Name of an operation in the document, for example `content.library.get`. */
export function operationNameOf({ serviceId, operationId }: OperationOptions): string {
  return `${serviceId.replace(/^com\.vmware\./, "")}.${operationId}`;
}

export function operationOf(
  { method, options, route }: RoutedOperation,
  { schemas, errors }: DocumentParts,
): OperationObject {
  const name = operationNameOf(options);
  const example = examples[name] ?? {};
  const isLogin = name === "cis.session.create";
  const placement = placementOn(route, method);
  const body = bodyOf(method, placement, schemas, example);
  return {
    tags: [options.serviceId],
    operationId: name,
    ...operationTextOf(method),
    ...(isLogin && { security: loginCredentials }),
    parameters: parametersOf(method, placement, schemas, example),
    ...(body !== undefined && { requestBody: body }),
    responses: {
      [route.status]: successOf(options, schemas, example),
      ...errors.of(method, options, body !== undefined, isLogin),
    },
  };
}

/**
 * Two operations of one path and method, the second of which a query parameter selects, as one: to OpenAPI, a query is
 * no part of a path.
 */
export function together(
  plain: OperationObject,
  selected: OperationObject,
  parameter: string,
): OperationObject {
  const [, verb] = /\.(\w+)$/.exec(selected.operationId)!;
  const statuses = new Set([...Object.keys(plain.responses), ...Object.keys(selected.responses)]);
  const description = [plain.description ?? [], selected.description ?? []].flat().join("\n\n");
  const chosen = selected.parameters.filter(({ name }) => name === parameter);
  return {
    ...plain,
    operationId: `${plain.operationId}_or_${verb}`,
    summary: `${plain.summary}; with \`${parameter}\`: ${selected.summary.replace(/^./, (first) => first.toLowerCase())}`,
    ...(description !== "" && { description }),
    parameters: [...plain.parameters, ...chosen.map((each) => ({ ...each, required: false }))],
    responses: Object.fromEntries(
      [...statuses].sort().map((status) => {
        const [first, second] = [plain.responses[status], selected.responses[status]];
        return [status, first && second ? eitherOf(first, second, plain, selected) : (first ?? second)!];
      }),
    ),
  };
}

function eitherOf(first: Json, second: Json, plain: OperationObject, selected: OperationObject): Json {
  if (JSON.stringify(first) === JSON.stringify(second)) return first;
  const [one, other] = [first, second].map((response) => contentOf(response)) as [Json, Json];
  const isSame = JSON.stringify(one.schema) === JSON.stringify(other.schema);
  const named = ({ operationId }: OperationObject, { example, examples }: Json) =>
    example === undefined ? examples : { [operationId.split(".").at(-1)!]: { value: example } };
  return {
    ...first,
    description: [...new Set(`${first.description}\n${second.description}`.split("\n"))].join("\n"),
    content: {
      "application/json": {
        schema: isSame ? one.schema : { oneOf: [one.schema, other.schema] },
        examples: { ...(named(plain, one) as Json), ...(named(selected, other) as Json) },
      },
    },
  };
}

function contentOf({ content }: Json): Json {
  return (content as Record<string, Json>)["application/json"]!;
}

function parametersOf(
  { input }: DescMethod,
  { path, headers, query }: Placement,
  schemas: Schemas,
  example: Example,
): Json[] {
  const parameter = (name: string, fieldName: string, place: "path" | "query" | "header") => {
    const field = input.fields.find((each) => each.name === fieldName)!;
    const { description, ...schema } = schemas.ofField(field, "request");
    const value = example.input?.[fieldName];
    return {
      name,
      in: place,
      required: place === "path" || isRequired(field),
      description,
      schema,
      ...(value !== undefined && { example: value }),
    };
  };
  return [
    ...path.map((name) => parameter(name, name, "path")),
    ...query.map((name) => parameter(name, name, "query")),
    ...headers.map(({ name, field }) => parameter(name, field, "header")),
  ];
}

function bodyOf(
  { input }: DescMethod,
  { body }: Placement,
  schemas: Schemas,
  example: Example,
): Json | undefined {
  const isWhole = typeof body === "string";
  const fields = input.fields.filter(({ name }) => (isWhole ? name === body : body.includes(name)));
  if (fields.length === 0) return undefined;
  const members = fields.flatMap(({ name }) => {
    const value = example.input?.[name];
    return value === undefined ? [] : [[name, value]];
  });
  return {
    required: fields.some(isRequired),
    content: {
      "application/json": {
        schema: isWhole ? schemas.ofField(fields[0]!, "request") : schemas.ofFields(fields, "request"),
        ...(members.length > 0 && { example: isWhole ? members[0]![1] : Object.fromEntries(members) }),
      },
    },
  };
}

function successOf({ result }: OperationOptions, schemas: Schemas, { output }: Example): Json {
  const shared = { headers: { "X-Request-ID": { $ref: "#/components/headers/X-Request-ID" } } };
  if (result === undefined) return { description: "Done.", ...shared };
  const { description, ...schema } = schemas.ofField(result, "result");
  const example = output === undefined ? {} : { example: output };
  return { description, ...shared, content: { "application/json": { schema, ...example } } };
}
