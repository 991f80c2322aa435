/** Runs a call; gets the name of its method, with that of the member before it, such as `sessions.create`. */
export type Around = <R>(name: string, call: () => R) => R;

type Method = (...args: unknown[]) => unknown;

/**
 * An object with the members of another one. Its methods, and those of its members, run through a function; methods
 * without a name, such as `Symbol.asyncDispose`, do not.
 */
export function aroundMethods<T extends object>(target: T, around: Around, path = ""): T {
  const copy = {};
  for (const key of keysOf(target)) {
    let [seen, wrapped]: unknown[] = [];
    const get = () => {
      const value: unknown = Reflect.get(target, key);
      if (value !== seen) [seen, wrapped] = [value, wrap(target, key, value, around, path)];
      return wrapped;
    };
    Object.defineProperty(copy, key, { get });
  }
  return copy as T;
}

function wrap(target: object, key: string | symbol, value: unknown, around: Around, path: string): unknown {
  if (typeof value === "function") {
    // Not bound: V8 takes no bound function for `Symbol.asyncDispose`.
    const method: Method = (...args) => value.apply(target, args);
    return typeof key === "symbol"
      ? method
      : (...args: unknown[]) => around(path + key, () => method(...args));
  }
  if (typeof value !== "object" || value === null) return value;
  return aroundMethods(value, around, `${path}${String(key)}.`);
}

/** Those of its class and of the classes that this one extends, too. */
function keysOf(target: object): Set<string | symbol> {
  const keys = new Set<string | symbol>();
  for (let at = target; at !== Object.prototype && at !== null; at = Object.getPrototypeOf(at)) {
    for (const key of Reflect.ownKeys(at)) if (key !== "constructor") keys.add(key);
  }
  return keys;
}
