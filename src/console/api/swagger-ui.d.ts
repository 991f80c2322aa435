declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  /** https://swagger.io/docs/open-source-tools/swagger-ui/usage/configuration/ */
  export default function SwaggerUI(options: {
    readonly url: string;
    readonly dom_id: string;
    readonly deepLinking?: boolean;
    readonly filter?: boolean;
    readonly tryItOutEnabled?: boolean;
    readonly displayRequestDuration?: boolean;
    readonly defaultModelsExpandDepth?: number;
    readonly docExpansion?: "list" | "full" | "none";
    readonly validatorUrl?: string | null;
  }): unknown;
}
