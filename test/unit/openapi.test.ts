import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, test } from "vitest";
import { examples } from "../../docs/openapi/examples.ts";
import { operationNameOf } from "../../docs/openapi/operations.ts";
import { placementOn } from "../../docs/operations.ts";
import { isOptional } from "../../src/calls/vapi-schema.ts";
import { httpStatusOf } from "../../src/domain/errors.ts";
import {
  type ApiRow,
  apiRows,
  type DescribedMedia,
  type DescribedOperation,
  describedOperation,
  describedResponse,
  faultsOf,
  openApi,
} from "../support/openapi.ts";

const operations = Object.entries(openApi.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ method, path, operation })),
);
const rows = apiRows().map((row) => [operationNameOf(row.options), row] as const);

test("is a valid document of OpenAPI 3.1", async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(JSON.parse(JSON.stringify(openApi)));
  expect(errors).toBeUndefined();
  expect([valid, validator.version]).toEqual([true, "3.1"]);
});

test("each operation has a name of its own", () => {
  const ids = operations.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test("paths with an action have no parameters in the query, which generated clients would append with another '?'", () => {
  const mixed = operations.filter(
    ({ path, operation }) => path.includes("?") && operation.parameters.some((each) => each.in === "query"),
  );
  expect(mixed.map(({ path }) => path)).toEqual([]);
});

test("describes no operation that does not exist", () => {
  const described = new Set(rows.map(([, row]) => describedOperation(row)));
  const others = operations.filter(({ operation }) => !described.has(operation));
  expect(others.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
});

describe.each(rows)("%s", (name, row) => {
  const operation = describedOperation(row);
  const others = rows.filter(([, other]) => other !== row && describedOperation(other) === operation);
  const all = [row, ...others.map(([, other]) => other)];

  test("has its parameters", () => {
    const expected = new Set(all.flatMap(parametersOf));
    const described = operation.parameters.map(({ name: parameter, in: place }) => `${place} ${parameter}`);
    expect(described.sort()).toEqual([...expected].sort());
    for (const { name: parameter, required } of operation.parameters) {
      if (required) continue;
      const isSelector = all.some(({ route }) => route.dispatch === parameter);
      const isHeader = row.route.headers.some((header) => header.name === parameter);
      const field = row.method.input.fields.find((each) => each.name === parameter);
      expect(isSelector || isHeader || isOptional(field!), parameter).toBe(true);
    }
    expect(bodyMembersOf(operation)).toEqual(placementOn(row.route, row.method).body);
  });

  test("has its statuses", () => {
    const declared = all.flatMap(({ options }) => options.errors.map((kind) => httpStatusOf(kind, "api")));
    const common = [row.route.status, 400, 401, 421, 500, 503];
    const ofBody = operation.requestBody === undefined ? [] : [413, 415];
    const ofLogin = name === "cis.session.create" ? [429] : [];
    const expected = new Set([...common, ...declared, ...ofBody, ...ofLogin].map(String));
    expect(Object.keys(operation.responses).sort()).toEqual([...expected].sort());
    expect(operation.security !== undefined).toBe(name === "cis.session.create");
  });

  test("has examples that are valid", () => {
    const { input, output } = examples[name] ?? {};
    const needsInput =
      operation.requestBody !== undefined || operation.parameters.some((each) => each.required);
    expect([examples[name] !== undefined, needsInput && input === undefined]).toEqual([true, false]);
    for (const { schema, example, name: parameter } of operation.parameters) {
      if (example !== undefined) expect(faultsOf(schema, example), parameter).toBe("");
    }
    for (const media of Object.values(operation.requestBody?.content ?? {})) {
      expect(exampleFaultsIn(media)).toEqual([""]);
    }
    const hasResult = row.options.result !== undefined && !row.options.errors.includes("not_found");
    if (hasResult) expect(output).toBeDefined();
    for (const status of Object.keys(operation.responses)) {
      const { content = {} } = describedResponse(operation, Number(status));
      for (const media of Object.values(content)) {
        for (const faults of exampleFaultsIn(media)) expect(faults, status).toBe("");
      }
    }
  });
});

/** For example `query page_size`. */
function parametersOf({ route, method }: ApiRow): string[] {
  const { path, query, headers } = placementOn(route, method);
  return [
    ...path.map((each) => `path ${each}`),
    ...query.map((each) => `query ${each}`),
    ...headers.map((each) => `header ${each.name}`),
  ];
}

/** As `Placement.body`. */
function bodyMembersOf({ requestBody }: DescribedOperation) {
  const schema = requestBody?.content["application/json"]?.schema;
  if (schema === undefined) return [];
  return "properties" in schema ? Object.keys(schema.properties as object) : expect.any(String);
}

function exampleFaultsIn({ schema, example, examples = {} }: DescribedMedia): string[] {
  const values = Object.values(examples).map(({ value }) => value);
  return [...(example === undefined ? [] : [example]), ...values].map((value) => faultsOf(schema, value));
}
