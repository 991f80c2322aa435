import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  equals,
  isFieldSet,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ServiceError } from "../domain/errors.ts";
import { parseDateTime } from "./date-time.ts";
import { isTreeObject, NumberLiteral, type Tree, type TreeObject } from "./tree.ts";

/** Turns one tree into one field value. `textual`: leaves are texts (XML, form), so "10" is a good long. */
type Bind = (tree: Tree, path: string, textual: boolean) => unknown;

interface FieldPlan {
  readonly field: DescField;
  readonly bind: Bind;
}

/** How a message is read from trees; made once at start-up. */
export interface MessagePlan {
  readonly desc: DescMessage;
  readonly fields: ReadonlyMap<string, FieldPlan>;
}

/** A field that the vAPI representations can't carry; the service refuses to start. */
export class UnsupportedFieldError extends Error {
  override readonly name = "UnsupportedFieldError";
}

const plans = new WeakMap<DescMessage, MessagePlan>();

/**
 * @throws UnsupportedFieldError when a field, at any depth, has no vAPI representation
 */
export function planOf(desc: DescMessage): MessagePlan {
  const known = plans.get(desc);
  if (known !== undefined) return known;
  const fields = new Map<string, FieldPlan>();
  const plan = { desc, fields };
  plans.set(desc, plan);
  for (const field of desc.fields) {
    if (field.oneof !== undefined) throw unsupported(field);
    fields.set(field.name, { field, bind: bindField(field) });
  }
  return plan;
}

/**
 * Reads the members of a tree into a message. `null` is unset. A member that the message has from elsewhere
 * already must be the same again.
 *
 * @param owner named in the error about an unknown member
 * @param prefix comes before the names of the members in errors
 * @throws ServiceError `invalid_argument`
 */
export function bindInto(
  message: Message,
  plan: MessagePlan,
  tree: TreeObject,
  textual: boolean,
  owner: string,
  prefix = "",
): void {
  const target = message as unknown as Record<string, unknown>;
  for (const name of Object.keys(tree)) {
    const path = prefix + name;
    const plannedField = plan.fields.get(name);
    if (plannedField === undefined) throw new ServiceError("downlease.argument.unknown", [path, owner]);
    const value = tree[name]!;
    if (value === null) continue;
    const { field, bind } = plannedField;
    const bound = bind(value, path, textual);
    const present = target[field.localName];
    if (present !== undefined && isFieldSet(message, field) && !isSame(field, present, bound)) {
      throw new ServiceError("downlease.argument.conflict", [path]);
    }
    target[field.localName] = bound;
  }
}

/** Lists and maps are never the same: whoever sends one twice does not mean it. */
function isSame(field: DescField, present: unknown, bound: unknown): boolean {
  if (field.fieldKind === "message") return equals(field.message, present as Message, bound as Message);
  return present === bound;
}

function bindField(field: DescField): Bind {
  switch (field.fieldKind) {
    case "scalar":
      return bindScalar(field, field.scalar);
    case "enum":
      return bindEnum(field.enum);
    case "message":
      return bindMessage(field.message);
    case "list":
      return bindList(bindElement(field));
    case "map":
      if (field.mapKey !== ScalarType.STRING) throw unsupported(field);
      return bindMap(bindElement(field));
  }
}

function bindElement(field: DescField & { fieldKind: "list" | "map" }): Bind {
  if (field.message) return bindMessage(field.message);
  if (field.enum) return bindEnum(field.enum);
  return bindScalar(field, field.scalar!);
}

function bindScalar(field: DescField, scalar: ScalarType): Bind {
  switch (scalar) {
    case ScalarType.STRING:
      return bindString;
    case ScalarType.INT64:
      return bindLong;
    case ScalarType.DOUBLE:
      return bindDouble;
    case ScalarType.BOOL:
      return bindBoolean;
    default:
      throw unsupported(field);
  }
}

const bindString: Bind = (tree, path, textual) => {
  if (typeof tree !== "string") throw wrongType(tree, path, "a string", textual);
  if (!tree.isWellFormed()) throw wrongType(tree, path, "Unicode text without lone surrogates");
  return tree;
};

const integer = /^[+-]?\d{1,19}$/;
const bindLong: Bind = (tree, path, textual) => {
  const text = numberText(tree, textual);
  const value = text !== undefined && integer.test(text) ? BigInt(text.replace("+", "")) : undefined;
  if (value === undefined || BigInt.asIntN(64, value) !== value) {
    throw wrongType(tree, path, "an integer of 64 bits", textual);
  }
  return value;
};

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const bindDouble: Bind = (tree, path, textual) => {
  const text = numberText(tree, textual);
  if (text === undefined || !decimal.test(text)) throw wrongType(tree, path, "a number", textual);
  return Number(text);
};

const bindBoolean: Bind = (tree, path, textual) => {
  if (typeof tree === "boolean") return tree;
  const text = textual && typeof tree === "string" ? tree.trim() : undefined;
  if (text !== "true" && text !== "false") throw wrongType(tree, path, "true or false", textual);
  return text === "true";
};

function numberText(tree: Tree, textual: boolean): string | undefined {
  if (typeof tree === "number") return String(tree);
  if (tree instanceof NumberLiteral) return tree.text;
  return textual && typeof tree === "string" ? tree.trim() : undefined;
}

/** vAPI names have no prefix: `ACTIVE`, not `STATE_ACTIVE`. */
function bindEnum(desc: DescEnum): Bind {
  const numbers = new Map(
    desc.values.filter(({ number }) => number !== 0).map((v) => [v.localName, v.number]),
  );
  const expected = `one of ${[...numbers.keys()].join(", ")}`;
  return (tree, path, textual) => {
    const number = typeof tree === "string" ? numbers.get(tree) : undefined;
    if (number === undefined) throw wrongType(tree, path, expected, textual);
    return number;
  };
}

function bindMessage(desc: DescMessage): Bind {
  if (desc.typeName === TimestampSchema.typeName) return bindDateTime;
  const plan = planOf(desc);
  return (tree, path, textual) => {
    const message = create(desc);
    // An empty XML element is both the empty text and the empty structure.
    if (textual && typeof tree === "string" && tree.trim() === "") return message;
    if (!isTreeObject(tree)) throw wrongType(tree, path, "a structure", textual);
    bindInto(message, plan, tree, textual, path, `${path}.`);
    return message;
  };
}

const bindDateTime: Bind = (tree, path, textual) => {
  const ms = typeof tree === "string" ? parseDateTime(tree) : undefined;
  if (ms === undefined)
    throw wrongType(tree, path, "a date and time such as 2025-03-04T10:15:30.000Z", textual);
  return timestampFromMs(ms);
};

function bindList(bindItem: Bind): Bind {
  return (tree, path, textual) => {
    const items = textual ? textualItems(tree) : tree;
    if (!Array.isArray(items)) throw wrongType(tree, path, "a list");
    return items.map((item: Tree, index) => {
      if (item === null) throw wrongType(item, `${path}.${index + 1}`, "set");
      return bindItem(item, `${path}.${index + 1}`, textual);
    });
  };
}

/** A form writes `list.1=a&list.2=b`, `list=a&list=b`, or `list=a` for a single item. */
function textualItems(tree: Tree): Tree {
  if (typeof tree === "string") return [tree];
  if (!isTreeObject(tree)) return tree;
  const count = Object.keys(tree).length;
  const items = Array.from({ length: count }, (_, index) => tree[index + 1]);
  return items.includes(undefined) ? tree : (items as Tree[]);
}

/** In `/rest` a map is a list of `{"key": …, "value": …}`. */
function bindMap(bindValue: Bind): Bind {
  const bindEntries = bindList((tree, path, textual) => {
    if (!isTreeObject(tree)) throw wrongType(tree, path, "a structure of key and value");
    const { key, value, ...others } = tree;
    const [other] = Object.keys(others);
    if (other !== undefined) throw new ServiceError("downlease.argument.unknown", [`${path}.${other}`, path]);
    if (typeof key !== "string") throw wrongType(key ?? null, `${path}.key`, "a string");
    if (value === undefined || value === null)
      throw new ServiceError("downlease.argument.missing", [`${path}.value`]);
    return [key, bindValue(value, `${path}.value`, textual)] as const;
  });
  return (tree, path, textual) => {
    const entries = bindEntries(tree, path, textual) as (readonly [string, unknown])[];
    const names = new Set(entries.map(([key]) => key));
    if (names.size < entries.length) throw new ServiceError("downlease.argument.repeated", [path]);
    return Object.fromEntries(entries);
  };
}

function wrongType(tree: Tree, path: string, expected: string, textual = false): ServiceError {
  // A form makes a list of a name that is repeated.
  if (textual && Array.isArray(tree)) return new ServiceError("downlease.argument.repeated", [path]);
  return new ServiceError("downlease.argument.type", [path, expected]);
}

export function unsupported(field: DescField): UnsupportedFieldError {
  return new UnsupportedFieldError(`${field} has no vAPI representation`);
}
