import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";

/** The operations of the REST dialect `/api`, to read and to try on this service. */
SwaggerUI({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  filter: true,
  tryItOutEnabled: true,
  docExpansion: "none",
  // Nothing is sent to anybody else.
  validatorUrl: null,
});
