/** The part of postject that is used; it has no declarations of its own. */
declare module "postject" {
  export function inject(
    program: string,
    resource: string,
    data: Buffer,
    options: { readonly sentinelFuse: string; readonly machoSegmentName?: string },
  ): Promise<void>;
}
