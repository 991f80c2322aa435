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
import { heldFieldOf, isOptional, isOutputOnly, isSecret, structureIdOf } from "../../calls/vapi-schema.ts";
import { ServiceError } from "../../domain/errors.ts";
import { parseDateTime } from "./date-time.ts";
import { type Notation, restNotation } from "./notation.ts";
import { isTreeObject, NumberLiteral, type Tree, type TreeObject } from "./tree.ts";

/**
 * Turns a tree into a field value; undefined when unset. `textual`: all leaves are texts (XML, form). In JSON, numbers
 * may be texts: clients fill them in from environment variables and templates.
 */
type Bind = (tree: Tree, path: string, textual: boolean) => unknown;

/** Creates the error for a tree that is not of the expected type. */
type WrongType = (tree: Tree, path: string, expected: string, textual?: boolean) => ServiceError;

interface FieldPlan {
  readonly field: DescField;
  readonly bind: Bind;
}

/** How a message is read from trees in a notation; created once, at start-up. */
export interface MessagePlan {
  readonly desc: DescMessage;
  readonly notation: Notation;
  readonly fields: ReadonlyMap<string, FieldPlan>;
  /** Names of the fields that a tree must have. */
  readonly required: readonly string[];
}

/** A field without a vAPI representation; the service does not start. */
export class UnsupportedFieldError extends Error {
  override readonly name = "UnsupportedFieldError";
}

const plans = new WeakMap<Notation, WeakMap<DescMessage, MessagePlan>>();

/**
 * @throws UnsupportedFieldError when a field, at any depth, has no vAPI representation
 */
export function planOf(desc: DescMessage, notation: Notation = restNotation): MessagePlan {
  const notationPlans = plans.get(notation) ?? new WeakMap<DescMessage, MessagePlan>();
  plans.set(notation, notationPlans);
  const cached = notationPlans.get(desc);
  if (cached !== undefined) return cached;
  const fields = new Map<string, FieldPlan>();
  const required = notation.isStrict ? desc.fields.filter((field) => !isOptional(field)) : [];
  const plan = { desc, notation, fields, required: required.map(({ name }) => name) };
  notationPlans.set(desc, plan);
  for (const field of desc.fields) {
    if (field.oneof !== undefined) throw unsupported(field);
    fields.set(field.name, { field, bind: bindMember(field, notation) });
  }
  return plan;
}

/**
 * Reads the members of a tree into a message. A member that the message already has, for example from the path, must
 * have the same value.
 *
 * @param owner name of the structure, for the error about an unknown member
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
    if (plannedField === undefined) {
      // A client of a newer release has optional fields that this one does not know, and sends them unset.
      if (plan.notation.readOptional(tree[name]!) === null) continue;
      throw new ServiceError(plan.notation.messages.unknown, [path, owner]);
    }
    const { field, bind } = plannedField;
    const bound = bind(tree[name]!, path, textual);
    if (bound === undefined) continue;
    const present = target[field.localName];
    if (present !== undefined && isFieldSet(message, field) && !isSame(field, present, bound)) {
      throw new ServiceError("downlease.argument.conflict", [path]);
    }
    target[field.localName] = bound;
  }
  for (const name of plan.required) {
    if (!Object.hasOwn(tree, name))
      throw new ServiceError("vapi.data.structure.field.missing", [prefix + name, owner]);
  }
}

/** Lists and maps never count as the same: sending one twice is a mistake. */
function isSame(field: DescField, present: unknown, bound: unknown): boolean {
  if (field.fieldKind === "message") return equals(field.message, present as Message, bound as Message);
  return present === bound;
}

/** Binds a member of a structure, which may be unset. */
function bindMember(field: DescField, notation: Notation): Bind {
  if (isOutputOnly(field)) return () => undefined;
  const bind = bindField(field, notation);
  const wrongType = wrongTypeIn(notation);
  if (!notation.isStrict)
    return (tree, path, textual) => (tree === null ? undefined : bind(tree, path, textual));
  if (!isOptional(field)) return bind;
  return (tree, path, textual) => {
    const value = notation.readOptional(tree);
    if (value === undefined) throw wrongType(tree, path, "optional");
    return value === null ? undefined : bind(value, path, textual);
  };
}

function bindField(field: DescField, notation: Notation): Bind {
  switch (field.fieldKind) {
    case "scalar":
      return bindScalar(field, field.scalar, notation);
    case "enum":
      return bindEnum(field.enum, notation);
    case "message":
      return bindMessage(field.message, notation);
    case "list":
      return bindList(bindElement(field, notation), notation);
    case "map":
      if (field.mapKey !== ScalarType.STRING) throw unsupported(field);
      return bindMap(bindElement(field, notation), notation);
  }
}

function bindElement(field: DescField & { fieldKind: "list" | "map" }, notation: Notation): Bind {
  if (field.message) return bindMessage(field.message, notation);
  if (field.enum) return bindEnum(field.enum, notation);
  return bindScalar(field, field.scalar!, notation);
}

function bindScalar(field: DescField, scalar: ScalarType, notation: Notation): Bind {
  const wrongType = wrongTypeIn(notation);
  switch (scalar) {
    case ScalarType.STRING:
      return isSecret(field) ? bindSecret(notation) : bindString(wrongType);
    case ScalarType.INT64:
      return bindLong(wrongType);
    case ScalarType.DOUBLE:
      return bindDouble(wrongType);
    case ScalarType.BOOL:
      return bindBoolean(wrongType);
    default:
      throw unsupported(field);
  }
}

function bindString(wrongType: WrongType): Bind {
  return (tree, path, textual) => {
    if (typeof tree !== "string") throw wrongType(tree, path, "a string", textual);
    if (!tree.isWellFormed()) throw wrongType(tree, path, "Unicode text without lone surrogates");
    return tree;
  };
}

function bindSecret(notation: Notation): Bind {
  const wrongType = wrongTypeIn(notation);
  const bind = bindString(wrongType);
  return (tree, path, textual) => {
    const text = notation.readSecret(tree);
    if (text === undefined) throw wrongType(tree, path, "a secret", textual);
    return bind(text, path, textual);
  };
}

const integer = /^[+-]?\d{1,19}$/;
function bindLong(wrongType: WrongType): Bind {
  return (tree, path, textual) => {
    const text = numberText(tree);
    const value = text !== undefined && integer.test(text) ? BigInt(text.replace("+", "")) : undefined;
    if (value === undefined || BigInt.asIntN(64, value) !== value) {
      throw wrongType(tree, path, "an integer of 64 bits", textual);
    }
    return value;
  };
}

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
function bindDouble(wrongType: WrongType): Bind {
  return (tree, path, textual) => {
    const text = numberText(tree);
    if (text === undefined || !decimal.test(text)) throw wrongType(tree, path, "a number", textual);
    return Number(text);
  };
}

function bindBoolean(wrongType: WrongType): Bind {
  return (tree, path, textual) => {
    if (typeof tree === "boolean") return tree;
    const text = textual && typeof tree === "string" ? tree.trim() : undefined;
    if (text !== "true" && text !== "false") throw wrongType(tree, path, "true or false", textual);
    return text === "true";
  };
}

function numberText(tree: Tree): string | undefined {
  if (typeof tree === "number") return String(tree);
  if (tree instanceof NumberLiteral) return tree.text;
  return typeof tree === "string" ? tree.trim() : undefined;
}

/** vAPI names have no prefix: `ACTIVE`, not `STATE_ACTIVE`. */
function bindEnum(desc: DescEnum, notation: Notation): Bind {
  const wrongType = wrongTypeIn(notation);
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

function bindMessage(desc: DescMessage, notation: Notation): Bind {
  const wrongType = wrongTypeIn(notation);
  if (desc.typeName === TimestampSchema.typeName) return bindDateTime(wrongType);
  const held = heldFieldOf(desc);
  if (held !== undefined) {
    const bind = bindField(held, notation);
    return (tree, path, textual) => create(desc, { [held.localName]: bind(tree, path, textual) });
  }
  const plan = planOf(desc, notation);
  const id = structureIdOf(desc);
  if (notation.isStrict && id === undefined) throw unsupported(desc);
  return (tree, path, textual) => {
    const message = create(desc);
    // An empty XML element is both the empty text and the empty structure.
    if (textual && typeof tree === "string" && tree.trim() === "") return message;
    const members = notation.readStructure(tree, id ?? "");
    if (members === undefined) throw wrongType(tree, path, "a structure", textual);
    bindInto(message, plan, members, textual, path, `${path}.`);
    return message;
  };
}

function bindDateTime(wrongType: WrongType): Bind {
  return (tree, path, textual) => {
    const ms = typeof tree === "string" ? parseDateTime(tree) : undefined;
    if (ms === undefined)
      throw wrongType(tree, path, "a date and time such as 2025-03-04T10:15:30.000Z", textual);
    return timestampFromMs(ms);
  };
}

function bindList(bindItem: Bind, notation: Notation): Bind {
  const wrongType = wrongTypeIn(notation);
  return (tree, path, textual) => {
    const items = textual ? textualItems(tree) : tree;
    if (!Array.isArray(items)) throw wrongType(tree, path, "a list");
    return items.map((item: Tree, index) => {
      if (item === null) throw wrongType(item, `${path}.${index + 1}`, "set");
      return bindItem(item, `${path}.${index + 1}`, textual);
    });
  };
}

/** A list in a form: `list.1=a&list.2=b`, `list=a&list=b`, or `list=a` for a single item. */
function textualItems(tree: Tree): Tree {
  if (typeof tree === "string") return [tree];
  if (!isTreeObject(tree)) return tree;
  const count = Object.keys(tree).length;
  const items = Array.from({ length: count }, (_, index) => tree[index + 1]);
  return items.includes(undefined) ? tree : (items as Tree[]);
}

function bindMap(bindValue: Bind, notation: Notation): Bind {
  const wrongType = wrongTypeIn(notation);
  return (tree, path, textual) => {
    const read = notation.readMap(textual ? textualItems(tree) : tree);
    if (read === undefined) throw wrongType(tree, path, "a map");
    const entries = read.map(([key, value]) => {
      if (typeof key !== "string") throw wrongType(key ?? null, `${path}.key`, "a string");
      if (value === undefined || value === null) throw wrongType(null, `${path}.value`, "set");
      return [key, bindValue(value, `${path}.value`, textual)] as const;
    });
    const names = new Set(entries.map(([key]) => key));
    if (names.size < entries.length) throw new ServiceError("downlease.argument.repeated", [path]);
    return Object.fromEntries(entries);
  };
}

function wrongTypeIn({ messages }: Notation): WrongType {
  return (tree, path, expected, textual = false) => {
    // In a form, a repeated name becomes a list.
    if (textual && Array.isArray(tree)) return new ServiceError("downlease.argument.repeated", [path]);
    return new ServiceError(messages.type, [path, expected]);
  };
}

export function unsupported(part: DescField | DescMessage): UnsupportedFieldError {
  return new UnsupportedFieldError(`${part} has no vAPI representation`);
}
