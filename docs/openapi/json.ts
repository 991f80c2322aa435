/** A part of an OpenAPI document. */
export type Json = { readonly [name: string]: unknown };
