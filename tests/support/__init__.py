"""What tests share: object-store servers, drawn chips, small artifacts, published runs."""
