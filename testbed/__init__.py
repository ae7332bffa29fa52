"""What tests, demo and fault suite stand on: the template run here, log servers, stand-ins."""
